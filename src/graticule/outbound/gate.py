"""From a URL or a host to the addresses that the server may connect to.

Asked twice: when somebody enters a URL, for a clear answer, and at every connection, because a name
service may say something else by then.
"""

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from graticule.domain.errors import InvalidRequest
from graticule.outbound.policy import OutboundPolicy, parse_address

Resolve = Callable[[str, int], Sequence[str]]
"""Addresses of a host name; raises OSError when it has none."""

DEFAULT_PORT: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class AddressRefused(Exception):
    """The server may not connect there.  Never says which address: that would map the network."""


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Outbound:
    """The operator's policy, and the name service that it is applied to."""

    policy: OutboundPolicy
    resolve: Resolve = resolve_by_system

    def addresses(self, scheme: str, host: str, port: int) -> Sequence[str]:
        """The addresses of `host`, in the order to try them.  One that is not permitted spoils all.

        Raises:
            AddressRefused: the server may not connect there.
            OSError: the name service does not know the host.
        """
        literal = parse_address(host.strip("[]"))
        try:
            found = [str(literal)] if literal is not None else self.resolve(host, port)
        except UnicodeError as error:
            raise OSError(f"`{host}` is not a host name") from error
        if not found:
            raise OSError(f"`{host}` has no address")
        if not all(self.policy.permits(scheme, host, address) for address in found):
            raise AddressRefused(refusal(scheme, host))
        return found

    def check_url(self, url: str, *, of: str) -> str:
        """Check a URL that a user entered as `of`, and return it in one spelling.

        Raises:
            InvalidRequest: not a URL of a permitted scheme and host, or with a user in it.
        """
        scheme, host, port, rest = _split(url, of=of)
        try:
            self.addresses(scheme, host, port)
        except AddressRefused as error:
            raise InvalidRequest(f"`{of}`: {error}") from error
        except OSError as error:
            raise InvalidRequest(
                f"`{of}`: this server's name service does not know the host `{host}`"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}{'' if port == DEFAULT_PORT[scheme] else f':{port}'}{rest}"

    def check_endpoint(self, url: str, *, of: str = "endpoint") -> str:
        """As `check_url`, for a URL that is a scheme, a host and perhaps a port.

        Raises:
            InvalidRequest: also if there is a path, a query or a fragment.
        """
        *_, rest = _split(url, of=of)
        if rest not in {"", "/"} or "?" in url or "#" in url:
            raise InvalidRequest(f"`{of}` `{url}` must not have a path, query or fragment")
        return self.check_url(url, of=of).rstrip("/")


PUBLIC_ONLY: Final = Outbound(OutboundPolicy())
"""Whatever the operator did not open stays shut: what code gets that was told nothing."""

ANYWHERE: Final = Outbound(OutboundPolicy(allow_private=True))
"""For endpoints that the operator chose, as the demo's store next door."""


def refusal(scheme: str, host: str) -> str:
    """Why `host` is refused, and what would open it."""
    if scheme == "http":
        why = f"`{host}` must be reached by https, or its addresses are not public"
    else:
        why = f"`{host}` is not on public addresses only"
    return (
        f"{why}; the operator can open it with GRATICULE_ALLOWED_ENDPOINTS, or all private "
        "networks with GRATICULE_ALLOW_PRIVATE_ENDPOINTS=true"
    )


def _split(url: str, *, of: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"`{of}` `{url}` is not a URL") from error
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in DEFAULT_PORT or not host:
        raise InvalidRequest(f"`{of}` `{url}` must look like `https://s3.example.org`")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise InvalidRequest(f"`{of}` must not hold a user or password")
    if parse_address(host) is None and not _HOST.fullmatch(host):
        raise InvalidRequest(f"`{of}` `{url}` has a host name with illegal characters")
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    if not rest.isascii() or not rest.isprintable() or " " in rest or "\\" in rest:
        raise InvalidRequest(f"`{of}` holds characters that a URL must escape")
    return scheme, host, DEFAULT_PORT[scheme] if port is None else port, rest
