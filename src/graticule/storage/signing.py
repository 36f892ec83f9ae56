"""AWS Signature Version 4.  Nothing is sent from here.

What may be signed was decided before (of somebody else's requests by `access.signing`); whose keys
sign it, by the caller.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import quote

from graticule.storage.keys import Keys, TemporaryCredentials

SIGNING_KEYS_MAX: Final = 256

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"
_END: Final = "aws4_request"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
UNRESERVED: Final = "-_.~"
"""What stays as it is in a path or a query, beside letters and digits."""


class Unsigned(Protocol):
    """What a signature covers: path and query decoded, names of headers in lower case."""

    @property
    def method(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def payload_hash(self) -> str: ...


def signing_headers(
    request: Unsigned,
    keys: Keys,
    *,
    region: str,
    now_ms: int,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The headers that make the request a signed one, to be added to those that it has.

    `extra` are signed and added as well, unless the request has them already.
    """
    moment = _moment(now_ms // 1000)
    added = {
        "X-Amz-Date": moment,
        "X-Amz-Content-SHA256": request.payload_hash,
        **{name: value for name, value in (extra or {}).items() if name not in request.headers},
    }
    if isinstance(keys, TemporaryCredentials):
        added["X-Amz-Security-Token"] = keys.session_token.reveal()
    signed = {"host": request.host, **request.headers}
    signed |= {name.lower(): value for name, value in added.items()}
    names = ";".join(sorted(signed))
    scope = f"{moment[:8]}/{region}/{_SERVICE}/{_END}"
    to_sign = "\n".join(
        [_ALGORITHM, moment, scope, _hash(_canonical_request(request, signed, names))]
    )
    signature = hmac.digest(_signing_key(keys, scope), to_sign.encode(), "sha256").hex()
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return added


def presigned_query(
    request: Unsigned, keys: Keys, *, region: str, now_ms: int, lifetime_s: int
) -> dict[str, str]:
    """The whole query of a URL that is signed itself, and good for `lifetime_s` from now."""
    moment = _moment(now_ms // 1000)
    scope = f"{moment[:8]}/{region}/{_SERVICE}/{_END}"
    query = {
        **request.query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key_id}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(lifetime_s),
        "X-Amz-SignedHeaders": "host",
    }
    if isinstance(keys, TemporaryCredentials):
        query["X-Amz-Security-Token"] = keys.session_token.reveal()
    canonical = _canonical_request(request, {"host": request.host}, "host", query=query)
    to_sign = "\n".join([_ALGORITHM, moment, scope, _hash(canonical)])
    signature = hmac.digest(_signing_key(keys, scope), to_sign.encode(), "sha256").hex()
    return {**query, "X-Amz-Signature": signature}


def _canonical_request(
    request: Unsigned,
    headers: Mapping[str, str],
    names: str,
    *,
    query: Mapping[str, str] | None = None,
) -> str:
    """S3's form: encoded exactly once, and no segment of the path folded."""
    parameters = sorted(
        (quote(name, safe=UNRESERVED), quote(value, safe=UNRESERVED))
        for name, value in (request.query if query is None else query).items()
    )
    return "\n".join(
        [
            request.method,
            quote(request.path, safe="/" + UNRESERVED),
            "&".join(f"{name}={value}" for name, value in parameters),
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            request.payload_hash,
        ]
    )


@lru_cache(maxsize=1)
def _moment(now_s: int) -> str:
    """The same for all that is signed in a second."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=SIGNING_KEYS_MAX)
def _signing_key(keys: Keys, scope: str) -> bytes:
    """Good for a day, and the same for every request of it."""
    key = f"AWS4{keys.secret_access_key.reveal()}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
