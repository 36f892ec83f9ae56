"""What engines read from the store, counted outside of them and of us.

A proxy in front of the store (`support.faults`) writes down every request; signatures stay valid,
because clients sign for the proxy's own address.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from support.faults import Access, Answers, FaultyStore, StoreRequest, faulty
from support.strict_stores import is_for_token_service


@dataclass(frozen=True)
class Reads:
    """Objects below a prefix that were read, and how many bytes of each."""

    bytes_by_key: dict[str, int]

    @property
    def files(self) -> int:
        return len(self.bytes_by_key)

    @property
    def bytes(self) -> int:
        return sum(self.bytes_by_key.values())


@dataclass
class SecretsSeen:
    """Rules that refuse nothing, and know every secret that the token service gave out."""

    secrets: set[str] = field(default_factory=set)

    def refusal(self, _request: StoreRequest) -> Answers | None:
        return None

    def answered(self, request: StoreRequest, body: bytes) -> bytes:
        if is_for_token_service(request):
            found = re.findall(rb"<(?:SecretAccessKey|SessionToken)>([^<]+)<", body)
            self.secrets.update(value.decode() for value in found)
        return body


@dataclass
class AccessMeter:
    """The store's front door.  `endpoint` is where clients have to be sent."""

    proxy: FaultyStore
    seen: SecretsSeen

    @property
    def endpoint(self) -> str:
        return self.proxy.endpoint

    @contextmanager
    def measured(self, prefix: str = "", *, suffix: str = ".parquet") -> Iterator["Measured"]:
        """Count what is read in this block of objects whose key starts and ends like this."""
        begun = len(self.proxy.accesses)
        measured = Measured()
        yield measured
        measured.reads = reads_of(self.proxy.accesses[begun:], prefix, suffix)


@dataclass
class Measured:
    """Filled when its block ends."""

    reads: Reads = field(default_factory=lambda: Reads({}))


def reads_of(accesses: list[Access], prefix: str, suffix: str) -> Reads:
    """Objects of any bucket; `HEAD` reads nothing, and a refused request neither."""
    bytes_by_key: dict[str, int] = {}
    for access in accesses:
        key = unquote(urlsplit(access.path).path).lstrip("/").partition("/")[2]
        is_read = access.method == "GET" and access.status in {200, 206}
        if is_read and key.startswith(prefix) and key.endswith(suffix):
            bytes_by_key[key] = bytes_by_key.get(key, 0) + access.sent_bytes
    return Reads(bytes_by_key)


@contextmanager
def metering(upstream: str) -> Iterator[AccessMeter]:
    seen = SecretsSeen()
    with faulty(upstream, seen) as proxy:
        yield AccessMeter(proxy, seen)
