"""Rules of AWS that no store at hand enforces, for the proxy of `support.faults` to enforce.

Each is the documented behaviour and nothing more; behind the proxy the store does the rest.
"""

import re
import threading
import time
from dataclasses import dataclass, field

from support.faults import Answers, StoreRequest

PAYER = "x-amz-request-payer"
_KEY_ID = re.compile(r"Credential=([^/]+)/")
_SIGNED = re.compile(r"SignedHeaders=([^,]+)")


def is_for_token_service(request: StoreRequest) -> bool:
    return request.method == "POST" and request.path == "/" and b"Action=" in request.body


def refused(request: StoreRequest, status: int, code: str) -> Answers:
    body = f"<Error><Code>{code}</Code><Message>by the rules of the test</Message></Error>"
    return Answers(status, request.method, body=body.encode())


@dataclass
class RequesterPays:
    """A bucket whose requesters pay: who does not say so, in a signed header, is refused."""

    refusals: int = 0

    def refusal(self, request: StoreRequest) -> Answers | None:
        if is_for_token_service(request):
            return None
        signed = _SIGNED.search(request.headers.get("Authorization") or "")
        says_so = request.headers.get(PAYER) == "requester"
        if says_so and signed is not None and PAYER in signed[1].split(";"):
            return None
        self.refusals += 1
        return refused(request, 403, "AccessDenied")

    def answered(self, _request: StoreRequest, body: bytes) -> bytes:
        return body


@dataclass
class ShortSessions:
    """Sessions that live for `life_s`, and are said to expire `grace_s` after that.

    The store refuses them as soon as they are over, although they were said to last longer: a
    client passes only if it stopped using them at least `grace_s` before the end it was told.
    """

    life_s: float
    grace_s: float = 0.0
    issued_at_s: dict[str, float] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    """Key ids that somebody went on using."""
    guard: threading.Lock = field(default_factory=threading.Lock)

    def refusal(self, request: StoreRequest) -> Answers | None:
        key = _KEY_ID.search(request.headers.get("Authorization") or "")
        with self.guard:
            issued_at_s = self.issued_at_s.get(key[1]) if key is not None else None
            if key is None or issued_at_s is None:
                return None
            if time.monotonic() - issued_at_s < self.life_s:
                return None
            self.expired.add(key[1])
        return refused(request, 400, "ExpiredToken")

    def answered(self, request: StoreRequest, body: bytes) -> bytes:
        issued = re.search(rb"<AccessKeyId>([^<]+)<", body)
        if not is_for_token_service(request) or issued is None:
            return body
        with self.guard:
            self.issued_at_s[issued[1].decode()] = time.monotonic()
        ends_at = time.gmtime(time.time() + self.life_s + self.grace_s)
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", ends_at).encode()
        return re.sub(rb"<Expiration>[^<]+<", b"<Expiration>" + text + b"<", body)
