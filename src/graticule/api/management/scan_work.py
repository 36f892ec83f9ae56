"""What machines ask for that inspect files of a scan, and the token that lets them."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.representations import moment
from graticule.domain.errors import Unauthenticated
from graticule.services.discovery.scan_work import TOKEN_LIFETIME_S, PartWork

Json = dict[str, Any]

_NO_STORE: Final = {"Cache-Control": "no-store"}


def issue_token(call: Call) -> Response:
    catalog = call.services.catalogs.open(call.principal, call.name("catalog"))
    token = call.services.scan_work.issue_token(call.principal, catalog, call.name("scan"))
    return json_response(
        {"token": token.reveal(), "expires_in": TOKEN_LIFETIME_S}, headers=_NO_STORE
    )


def show_work(call: Call) -> Response:
    work = call.services.scan_work.what(_token(call))
    shown = {"scan_id": work.scan_id, "state": work.state, "parts": list(work.parts)}
    return json_response(shown, headers=_NO_STORE)


def show_part(call: Call) -> Response:
    part = call.services.scan_work.part(
        _token(call), call.name("part"), asked_from=call.principal.origin
    )
    return json_response(_part_to_json(part), headers=_NO_STORE)


def _token(call: Call) -> str:
    scheme, _, token = (call.header("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send the token of the scan as `Authorization: Bearer`")
    return token.strip()


def _part_to_json(part: PartWork) -> Json:
    credential = part.credential
    return {
        "bucket": part.bucket,
        "origin": part.origin,
        "path_prefix": part.path_prefix,
        "region": part.region,
        "headers": dict(part.headers),
        "put_headers": dict(part.put_headers),
        "pending_key": part.pending_key,
        "answers_key": part.answers_key,
        "seal": part.seal.reveal(),
        "codec_version": part.codec_version,
        "access_key_id": credential.access_key_id,
        "secret_access_key": credential.secret_access_key.reveal(),
        "session_token": credential.session_token.reveal(),
        "expires_at": moment(credential.expires_at_ms),
    }


ROUTES: Final[Sequence[Line]] = (
    ("POST", "/catalogs/{catalog}/scans/{scan}/token", issue_token, Action.SCAN_CATALOG),
    ("GET", "/scan-work", show_work, None),
    ("GET", "/scan-work/{part}", show_part, None),
)
