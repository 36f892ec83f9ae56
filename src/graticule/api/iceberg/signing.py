"""Remote signing: `POST …/tables/{table}/sign`, and the path that older clients fall back to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.signing import SignRequest
from graticule.api.endpoint import Call, json_response
from graticule.api.iceberg import wire
from graticule.domain.errors import InvalidRequest
from graticule.services.catalog.table_storage import STAGED_PARAMETER

METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
PROVIDER: Final = "s3"


def sign_request(call: Call) -> Response:
    """`Cache-Control: private` lets Java clients use a signature again for 30 seconds."""
    body = call.json()
    provider = wire.optional_text(body, "provider") or PROVIDER
    if provider.lower() != PROVIDER:
        raise InvalidRequest(f"requests are signed for `{PROVIDER}`, not for `{provider}`")
    method = wire.text(body, "method")
    if method not in METHODS:
        raise InvalidRequest(f"`method` must be one of {', '.join(sorted(METHODS))}")
    request = SignRequest(
        method=method,
        region=wire.text(body, "region"),
        uri=wire.text(body, "uri"),
        headers=_headers(body),
        body=_body(body),
    )
    signed = call.services.signing.sign(
        call.principal,
        wire.open_catalog(call),
        wire.table_of(call),
        request,
        staged=call.query.get(STAGED_PARAMETER),
    )
    return json_response(
        {"uri": signed.uri, "headers": {name: [text] for name, text in signed.headers.items()}},
        headers={"Cache-Control": "private" if signed.is_reusable else "no-cache"},
    )


def sign_without_table(_call: Call) -> Response:
    """Where clients go that were not told an endpoint; nothing there says for which table."""
    raise InvalidRequest(
        "requests are signed per table: use the `s3.signer.endpoint` that comes with a table "
        "(`v1/{prefix}/namespaces/{namespace}/tables/{table}/sign`), by loading it with the "
        f"header `{wire.ACCESS_DELEGATION_HEADER}: remote-signing`"
    )


def _headers(body: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    headers = wire.json_object(body, "headers")
    if not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        for texts in headers.values()
    ):
        raise InvalidRequest("`headers` must map names to lists of texts")
    return headers


def _body(body: Mapping[str, Any]) -> str | None:
    text = body.get("body")
    if text is not None and not isinstance(text, str):
        raise InvalidRequest("`body` must be a text")
    return text
