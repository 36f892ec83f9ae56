"""URIs of S3 requests, read so that nobody can read them differently.  Pure text.

A signature is for what the store makes of a URI, not for what we make of it.  So whatever two
readers could take for two things is refused: encoded slashes, dot segments, empty segments, plus
signs in a query, repeated parameters, and every host that is not the store's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from graticule.domain.errors import SignatureRefused

URI_CHARACTERS_MAX: Final = 8192
KEY_BYTES_MAX: Final = 1024
PARAMETERS_MAX: Final = 16
SHOWN_CHARACTERS_MAX: Final = 200

_PARTS: Final = re.compile(r"(https?)://([!-.0-~]*?)(/[!->@-~]*)?(?:\?([!-~]*))?")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH: Final = re.compile(r"%(?:2f|5c)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")

_AWS_SUFFIXES: Final = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov"),
)
_AWS_SUFFIX: Final = "amazonaws.com"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where one bucket is reached.  `endpoint` is `scheme://host[:port]`, None for AWS."""

    bucket: str
    region: str
    endpoint: str | None

    def origins(self) -> tuple[str, ...]:
        """`scheme://host` of the store without a bucket, in every spelling that clients use."""
        if self.endpoint is not None:
            return (self.endpoint,)
        suffix = aws_suffix(self.region)
        regional = tuple(
            f"https://{service}.{self.region}.{suffix}"
            for service in ("s3", "s3.dualstack", "s3-fips", "s3-fips.dualstack")
        )
        return (*regional, f"https://s3.{suffix}") if suffix == _AWS_SUFFIX else regional


@dataclass(frozen=True, slots=True)
class S3Url:
    """What a URI asks for, decoded.  An empty key is the bucket itself."""

    host: str
    path: str
    key: str
    query: Mapping[str, str]


def aws_suffix(region: str) -> str:
    """The domain that the services of an AWS region are in."""
    return next((s for start, s in _AWS_SUFFIXES if region.startswith(start)), _AWS_SUFFIX)


def parse_url(uri: str, store: StoreAddress) -> S3Url:
    """Read a URI of the store's bucket, in path style or virtual-host style.

    Raises:
        SignatureRefused: another host or bucket, or anything that could be read in two ways.
    """
    if len(uri) > URI_CHARACTERS_MAX:
        raise SignatureRefused(
            f"the URI has {len(uri)} characters; at most {URI_CHARACTERS_MAX} are signed"
        )
    parts = _PARTS.fullmatch(uri)
    if parts is None or "#" in uri or "\\" in uri:
        raise SignatureRefused(f"`{shown(uri)}` is not a URI of an object store")
    scheme, host, path, query = parts[1], parts[2], parts[3] or "", parts[4] or ""
    return S3Url(
        host=host,
        path=_decoded(path, of="path") or "/",
        key=check_key(_key_of(f"{scheme}://{host}", path, store)),
        query=_parameters(query),
    )


def check_key(key: str) -> str:
    """Check an object's key, or the prefix of a list without its last slash; "" is the bucket.

    Raises:
        SignatureRefused: too long, control characters, or segments that a store might fold.
    """
    if len(key.encode()) > KEY_BYTES_MAX:
        raise SignatureRefused(f"a key has at most {KEY_BYTES_MAX} bytes")
    if _CONTROL.search(key):
        raise SignatureRefused(f"the key `{shown(key)}` holds a control character or backslash")
    if key and any(segment in {"", ".", ".."} for segment in key.split("/")):
        raise SignatureRefused(f"the key `{shown(key)}` has an empty, `.` or `..` segment")
    return key


def shown(text: str) -> str:
    """What of a client's text goes into a message."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return printable[:SHOWN_CHARACTERS_MAX]


def _key_of(origin: str, path: str, store: StoreAddress) -> str:
    for known in store.origins():
        scheme, _, host = known.partition("://")
        if origin == known:
            bucket, _, key = path.removeprefix("/").partition("/")
            if bucket != store.bucket:
                raise SignatureRefused(
                    f"the bucket is `{store.bucket}`, not `{shown(bucket)}`; it is written plainly"
                )
            return _decoded(key, of="path")
        if origin == f"{scheme}://{store.bucket}.{host}":
            return _decoded(path.removeprefix("/"), of="path")
    raise SignatureRefused(
        f"`{shown(origin)}` is not where bucket `{store.bucket}` is; that is `{store.origins()[0]}`"
    )


def _decoded(text: str, *, of: str) -> str:
    """Decoded once, and only if nothing but one decoding makes sense."""
    if _BAD_ESCAPE.search(text):
        raise SignatureRefused(f"the {of} `{shown(text)}` holds a `%` that escapes nothing")
    if of == "path" and _ENCODED_SLASH.search(text):
        raise SignatureRefused(f"the path `{shown(text)}` holds an encoded slash or backslash")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise SignatureRefused(f"the {of} `{shown(text)}` is not UTF-8") from error


def _parameters(query: str) -> Mapping[str, str]:
    if not query:
        return {}
    if "+" in query or ";" in query or "?" in query:
        raise SignatureRefused("a query is signed only with `+`, `;` and `?` percent-encoded")
    pairs = query.split("&")
    if len(pairs) > PARAMETERS_MAX:
        raise SignatureRefused(f"a query has at most {PARAMETERS_MAX} parameters")
    parameters: dict[str, str] = {}
    for pair in pairs:
        raw_name, _, raw_value = pair.partition("=")
        name, value = _decoded(raw_name, of="query"), _decoded(raw_value, of="query")
        if not name or name in parameters:
            raise SignatureRefused(f"the parameter `{shown(name)}` is empty or repeated")
        parameters[name] = value
    return parameters
