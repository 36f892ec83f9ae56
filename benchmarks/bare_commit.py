"""What a commit cannot do without: a PUT of the document, and an answer that holds it.

A server on the HTTP stack and with the storage code of `graticule serve`, that does nothing else.
What a commit takes longer than this is what the catalog itself costs.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.peer import HOST, Program, free_ports
from graticule.demo.seaweedfs import SeaweedFS
from graticule.domain.catalog import AccessKeys
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.server import server_config
from graticule.storage.s3 import ObjectStore

BUCKET = "lake"
FOLDER = "bare"


@contextmanager
def running(folder: Path, store: SeaweedFS) -> Iterator[str]:
    """The URL: PUT gives it a document, and every POST writes that and answers with it."""
    [port] = free_ports(1)
    keys = store.admin_keys
    program = Program(
        [sys.executable, "-m", "benchmarks.bare_commit"],
        folder=folder,
        environment={
            "PYTHONPATH": ":".join(path for path in (*sys.path, str(Path.cwd())) if path),
            "BARE_PORT": str(port),
            "BARE_ENDPOINT": store.endpoint,
            "BARE_REGION": store.region,
            "BARE_ACCESS_KEY_ID": keys.access_key_id,
            "BARE_SECRET_ACCESS_KEY": keys.secret_access_key.reveal(),
        },
    )
    try:
        program.wait_for(f"http://{HOST}:{port}/")
        yield f"http://{HOST}:{port}"
    finally:
        program.stop()


def main() -> None:
    environment = os.environ
    keys = AccessKeys(
        environment["BARE_ACCESS_KEY_ID"], Secret(environment["BARE_SECRET_ACCESS_KEY"])
    )
    folder = Location(BUCKET, FOLDER)
    store = ObjectStore(
        folder,
        region=environment["BARE_REGION"],
        endpoint=environment["BARE_ENDPOINT"],
        path_style=True,
        credentials=lambda: keys,
        outbound=ANYWHERE,
    )
    documents: dict[str, bytes] = {}

    def write(document: bytes) -> None:
        store.put_if_absent(folder.join(str(uuid4())).uri, document)

    async def take(request: Request) -> Response:
        documents["current"] = await request.body()
        return Response(status_code=204)

    async def commit(_request: Request) -> Response:
        await anyio.to_thread.run_sync(write, documents["current"])
        return Response(documents["current"], media_type="application/json")

    app = Starlette(
        routes=[Route("/", commit, methods=["POST"]), Route("/", take, methods=["PUT"])]
    )
    uvicorn.Server(server_config(app, host=HOST, port=int(environment["BARE_PORT"]))).run()


if __name__ == "__main__":
    main()
