"""Long answers go out piece by piece, and nobody can tell."""

import httpx2
import pytest

from graticule.api.pieces import in_pieces
from graticule.domain.spliced import SHORT_BYTES
from graticule.server import BackgroundServer

LONG = b"x" * SHORT_BYTES


@pytest.mark.parametrize(
    "pieces", [(b"a", memoryview(LONG), b"b"), (b"a", b"", b"b")], ids=["long", "short"]
)
def test_pieces_arrive_as_one_body_of_known_length_and_the_connection_goes_on(pieces):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await in_pieces(pieces, 203)(scope, receive, send)

    whole = b"".join(pieces)
    with BackgroundServer(app) as server, httpx2.Client(base_url=server.url) as http:
        for _ in range(2):
            answer = http.get("/")
            assert (answer.status_code, answer.content) == (203, whole)
            assert answer.headers["content-length"] == str(len(whole))
            head = http.head("/")
            assert (head.content, head.headers["content-length"]) == (b"", str(len(whole)))
