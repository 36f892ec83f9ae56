"""The edge: reads a request, finds its handler, runs it in a thread, sends the answer.

The only module that awaits, with `threads` and `request_bodies` beside it.  Paths are matched on
their raw form, segment by segment, because the decoded form cannot tell `a%2Fb` from `a/b` nor
`a+b` from `a%2Bb`.  Header names go out in the case they are written in here: the Java client looks
for exactly `ETag` and `Cache-Control`.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, unquote, unquote_plus

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from graticule.access.policy import Action, require
from graticule.api.auth import Authenticate
from graticule.api.cookies import Cookies
from graticule.api.errors import Surface, describe, headers_of
from graticule.api.pieces import in_pieces
from graticule.api.request_bodies import read_body
from graticule.api.response_headers import add_header
from graticule.api.threads import Threads
from graticule.domain import waiting
from graticule.domain.errors import (
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchRoute,
    UnsupportedMediaType,
)
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.spliced import Piece
from graticule.domain.tenancy import Origin, Principal
from graticule.domain.waiting import WouldWait

Json = dict[str, Any]
log = structlog.get_logger(__name__)


_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it."""

    services: Any
    principal: Principal
    path: Mapping[str, str]
    """Path parameters, still percent-encoded as they came; see `name` and `levels`."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    tell_base_url: Callable[[], str]
    cookies: Cookies
    plus_is_space: bool = True
    target: str = ""
    """Method, raw path and query, as they came."""
    request: IdempotentRequest | None = None
    """Set for a change that came with an `Idempotency-Key`; services are handed it."""

    @property
    def base_url(self) -> str:
        """What the client calls this server, without a slash at the end.  Made when asked for."""
        return self.tell_base_url()

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def name(self, parameter: str) -> str:
        """A path parameter, decoded.  Engines encode like forms: `+` is a space, `%2B` a plus."""
        raw = self.path[parameter]
        try:
            decode = unquote_plus if self.plus_is_space else unquote
            return without_nul(decode(raw, errors="strict"))
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"`{raw}` in the path is not UTF-8") from error

    def json(self) -> Json:
        """The body as a JSON object.

        Raises:
            InvalidRequest: not JSON, too deep, or not an object.
            UnsupportedMediaType: a body that says it is something else.
        """
        media = (self.header("content-type") or "application/json").partition(";")[0].strip()
        if media not in {"application/json", ""} and not media.endswith("+json"):
            raise UnsupportedMediaType(f"the body must be application/json, not `{media}`")
        return parse_json_object(self.body)

    def form(self) -> Mapping[str, str]:
        try:
            return parse_form(self.body.decode())
        except (UnicodeDecodeError, ValueError) as error:
            raise InvalidRequest("the body is not a form") from error

    def flag(self, parameter: str, *, default: bool = False) -> bool:
        """A boolean query parameter, in whatever case (Python clients send `True`)."""
        value = self.query.get(parameter)
        if value is None or value == "":
            return default
        if value.lower() not in {"true", "false"}:
            raise InvalidRequest(f"`{parameter}` must be true or false, not `{value}`")
        return value.lower() == "true"


def parse_form(text: str) -> dict[str, str]:
    """A query or form; of a name that comes twice the last one counts.

    Raises:
        InvalidRequest: a NUL in it.
    """
    return dict(parse_qsl(without_nul(text.replace("%00", "\0")), keep_blank_values=True))


def without_nul(text: str) -> str:
    """The text, refused with a NUL in it, which PostgreSQL cannot even be asked for."""
    if "\0" in text:
        raise InvalidRequest("the request contains a NUL character")
    return text


def parse_json_object(body: bytes) -> Json:
    """Parse a JSON object of bounded depth, in UTF-8, that can be written as UTF-8 again.

    Raises:
        InvalidRequest: with the position of the first error.
    """
    try:
        text = body.decode() or "null"
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("the body escapes half of a surrogate pair") from error
    except RecursionError as error:
        raise InvalidRequest("the JSON body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not UTF-8") from error
    except ValueError as error:
        # Python's limit on digits, which it explains to programmers.
        why = "a number has too many digits" if "int_max_str_digits" in str(error) else error
        raise InvalidRequest(f"the body is not valid JSON: {why}") from error
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return value


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large")
    return number


class Handler(Protocol):
    def __call__(self, call: Call, /) -> Response: ...


Line = tuple[str, str, Handler, Action | None]
"""Method, path, handler and what the caller must be allowed; None: served to anybody."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the URL table.  `action` None: served to anybody (health, tokens)."""

    method: str
    template: str
    handler: Handler
    action: Action | None
    surface: Surface
    is_heavy: bool = False
    """Runs beside, not among, the quick requests: a scan plan must not starve commits."""
    is_prompt: bool = False
    """Changes nothing and seldom has to wait, so it is tried on the event loop first."""


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return bytes_response(content, status=status, headers=headers)


def bytes_response(
    *pieces: Piece, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer whose JSON is already encoded, with header names in exactly the given case."""
    response = in_pieces(pieces, status)
    add_header(response, "Content-Type", "application/json")
    for name, value in (headers or {}).items():
        add_header(response, name, value)
    return response


def no_content(status: int = 204, headers: Mapping[str, str] | None = None) -> Response:
    response = Response(status_code=status)
    for name, value in (headers or {}).items():
        add_header(response, name, value)
    return response


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable:
    """Finds the route of a raw path.  A literal segment wins over a parameter."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.template.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"two handlers for {route.method} {route.template}")
        node.routes[route.method] = (route, tuple(names))

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """The route and its raw path parameters.

        Raises:
            NoSuchRoute: nothing is served there.
            MethodNotAllowed: something is, with other methods.
        """
        others: set[str] = set()
        for node, values in _walk(self._root, raw_path.strip("/").split("/"), ()):
            if method in node.routes:
                route, names = node.routes[method]
                return route, dict(zip(names, values, strict=True))
            others.update(node.routes)
        if not others:
            raise NoSuchRoute(f"no operation is served at `{unquote(raw_path)}`")
        allowed = ", ".join(sorted(others))
        raise MethodNotAllowed(
            f"`{unquote(raw_path)}` answers {allowed}, not {method}", allow=allowed
        )


def _walk(
    node: _Node, segments: list[str], values: tuple[str, ...]
) -> Iterable[tuple[_Node, tuple[str, ...]]]:
    if not segments:
        yield node, values
        return
    head, rest = segments[0], segments[1:]
    if head in node.literals:
        yield from _walk(node.literals[head], rest, values)
    if node.parameter is not None and head:
        yield from _walk(node.parameter, rest, (*values, head))


class Endpoint:
    """The ASGI application behind the middleware: every route is answered here."""

    def __init__(
        self,
        routes: RouteTable,
        services: Any,
        *,
        authenticate: Authenticate,
        anonymous: Principal,
        cookies: Cookies,
        request_body_bytes_max: int,
        threads: int,
        heavy_threads: int,
    ) -> None:
        self._routes = routes
        self._services = services
        self._authenticate = authenticate
        self._anonymous = anonymous
        self._cookies = cookies
        self._request_body_bytes_max = request_body_bytes_max
        self._quick = Threads("quick thread", threads_max=threads)
        self._heavy = Threads("heavy thread", threads_max=heavy_threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        raw_path = (scope.get("raw_path") or scope["path"].encode()).decode("ascii", "replace")
        request_id: str = scope.get("state", {}).get("request_id", "-")
        surface = surface_of(raw_path)
        try:
            route, path = self._routes.find(request.method, raw_path)
            scope.setdefault("state", {})["route"] = route.template
            body = await read_body(request, bytes_max=self._request_body_bytes_max)
            answer = partial(self._answer, route, path, request, body, request_id)
            response = await self._run(route, answer)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  every failure has an answer
            response = failure(error, surface, request_id=request_id)
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _run(self, route: Route, answer: Callable[[], Response]) -> Response:
        """A thread may wait, but to change to one and back costs more than a prompt answer."""
        if route.is_prompt:
            with suppress(WouldWait), waiting.forbidden():
                return answer()
        return await (self._heavy if route.is_heavy else self._quick).run(answer)

    def _answer(
        self, route: Route, path: dict[str, str], request: Request, body: bytes, request_id: str
    ) -> Response:
        if route.action is None:
            principal = replace(self._anonymous, origin=_origin_of(request, request_id))
        else:
            principal = self._authenticate(request, route.surface)
            structlog.contextvars.bind_contextvars(principal=principal.name)
            request.scope["state"]["principal"] = principal.name
            principal = replace(principal, origin=_origin_of(request, request_id))
        call = Call(
            services=self._services,
            principal=principal,
            path=path,
            query=parse_form(request.scope["query_string"].decode("latin-1")),
            headers=request.headers,
            body=body,
            request_id=request_id,
            tell_base_url=lambda: str(request.base_url).rstrip("/"),
            cookies=self._cookies,
            plus_is_space=route.surface is Surface.ICEBERG,
            target=_target_of(request),
        )
        try:
            if route.action is not None:
                require(principal, route.action)
            return route.handler(call)
        except Forbidden as error:
            self._services.audit.note_denied(
                principal, operation=route.template, target=call.target, why=error.message
            )
            raise


def _origin_of(request: Request, request_id: str) -> Origin:
    client = request.client
    return Origin(request_id=request_id, address="" if client is None else client.host)


def _target_of(request: Request) -> str:
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return f"{request.method} {(raw + b'?' + query).decode('latin-1')}"


def surface_of(raw_path: str) -> Surface:
    """Which error shape a path speaks, also where no route is."""
    if raw_path.endswith(("/oauth/tokens", "/device/token")):
        return Surface.OAUTH
    return Surface.ICEBERG if raw_path.startswith("/catalog") else Surface.MANAGEMENT


def failure(error: Exception, surface: Surface, *, request_id: str) -> Response:
    """The answer to a failure; what is our own fault is logged with its traceback."""
    status, body = describe(error, surface, request_id=request_id)
    if status >= 500:
        log.error("request failed", exc_info=error, status=status)
    response = Response(json.dumps(body, ensure_ascii=False).encode(), status_code=status)
    for name, value in headers_of(error, surface):
        add_header(response, name, value)
    return response
