"""A real HTTP proxy in front of a store, that loses answers, stalls, and sends people elsewhere.

It passes bytes on as they are, so signatures stay valid.  Each fault is used once, in order, by the
first request that it fits.
"""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class LosesAnswer:
    """The store does what was asked; the answer never arrives."""

    method: str = "PUT"


@dataclass(frozen=True, slots=True)
class LosesRequest:
    """The store never hears of it; the connection just closes."""

    method: str = "PUT"


@dataclass(frozen=True, slots=True)
class PassesOn:
    """No fault: keeps the ones behind it for later requests."""

    method: str = "PUT"


@dataclass(frozen=True, slots=True)
class Answers:
    """The proxy answers by itself."""

    status: int
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Stalls:
    """The store does what was asked; the answer waits until the proxy is closed."""

    method: str = "PUT"


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A request on its way to the store.  Names of headers are in any case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Rules(Protocol):
    """What a stricter store than the one behind would add: see `support.strict_stores`."""

    def refusal(self, request: StoreRequest) -> Answers | None:
        """The answer instead of the store's, or None to ask the store."""

    def answered(self, request: StoreRequest, body: bytes) -> bytes:
        """What becomes of the body of the store's answer."""


@dataclass(frozen=True, slots=True)
class Access:
    """One request that the store answered: what an access log would have."""

    method: str
    path: str
    status: int
    sent_bytes: int
    """Of the answer's body."""
    user_agent: str


Fault = LosesAnswer | LosesRequest | PassesOn | Answers | Stalls


@dataclass(slots=True)
class FaultyStore:
    """The proxy as a test sees it."""

    endpoint: str
    faults: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """How many requests of each method arrived."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Of every request that arrived, names in any case."""
    accesses: list[Access] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, method: str) -> Fault | None:
        with self.guard:
            self.seen[method] += 1
            for at, fault in enumerate(self.faults):
                if fault.method == method:
                    return self.faults.pop(at)
        return None


@contextmanager
def faulty(upstream: str, rules: Rules | None = None) -> Iterator[FaultyStore]:
    """Run a proxy to `upstream` on a free port, with `rules` that hold besides its faults."""
    target = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.body()
            proxy.headers.append(self.headers)
            request = StoreRequest(self.command, self.path, self.headers, body)
            fault: Fault | None = rules.refusal(request) if rules is not None else None
            fault = fault or proxy.next_fault(self.command)
            match fault:
                case LosesRequest():
                    self.close_connection = True
                case Answers(status=status, headers=headers, body=answer):
                    self.answer(status, list(headers), answer)
                case _:
                    status, headers_back, answer = self.forward(body)
                    if rules is not None and self.command == "POST":
                        answer = rules.answered(request, answer)
                        headers_back = [h for h in headers_back if h[0].lower() != "content-length"]
                    proxy.accesses.append(self.access(status, answer))
                    if isinstance(fault, Stalls):
                        proxy.closing.wait()
                    if fault is None or isinstance(fault, PassesOn):
                        self.answer(status, headers_back, answer)
                    else:
                        self.close_connection = True

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        def body(self) -> bytes:
            """What was sent; in one piece, if it came in chunks."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pieces = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(pieces)
            del self.headers["Transfer-Encoding"]
            self.headers["Content-Length"] = str(len(body))
            return body

        def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            upstream_connection = http.client.HTTPConnection(target, timeout=30)
            try:
                upstream_connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    if name.lower() not in {"expect", "connection"}:
                        upstream_connection.putheader(name, value)
                upstream_connection.endheaders(body)
                answer = upstream_connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                upstream_connection.close()

        def access(self, status: int, answer: bytes) -> Access:
            sent_bytes = 0 if self.command == "HEAD" else len(answer)
            agent = self.headers.get("User-Agent") or ""
            return Access(self.command, self.path, status, sent_bytes, agent)

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            has_length = False
            for name, value in headers:
                if name.lower() in {"connection", "transfer-encoding", "keep-alive"}:
                    continue
                has_length = has_length or name.lower() == "content-length"
                self.send_header(name, value)
            if not has_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = FaultyStore(endpoint=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
