"""Cookies of browsers that are signed in, and the proof that a request comes from our own pages.

A browser sends cookies along with whatever any site makes it send, so a cookie alone never changes
anything: `check_same_origin`.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import Response

from graticule.api.response_headers import add_header
from graticule.domain.errors import CrossSite, InvalidRequest

SESSION: Final = "graticule"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
REQUESTED_BY: Final = "x-requested-by"

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Cookies:
    """Reads and writes them: `__Host-…; Secure`, unless the operator asked for plain HTTP."""

    def __init__(self, *, public_url: str | None = None, insecure_http: bool = False) -> None:
        self._public_url = public_url
        self.is_insecure: Final = insecure_http

    def get(self, headers: Mapping[str, str], name: str) -> str | None:
        return cookie_parser(headers.get("cookie", "")).get(self._name(name)) or None

    def put(self, response: Response, name: str, value: str, *, max_age_s: int) -> None:
        """Set a cookie that scripts cannot read; an age of 0 removes it."""
        secure = "" if self.is_insecure else "; Secure"
        cookie = f"{self._name(name)}={value}; Path=/; Max-Age={max_age_s}{secure}"
        add_header(response, "Set-Cookie", f"{cookie}; HttpOnly; SameSite=Lax")

    def remove(self, response: Response, name: str) -> None:
        self.put(response, name, "", max_age_s=0)

    def _name(self, name: str) -> str:
        return name if self.is_insecure else f"__Host-{name}"

    def url(self, base_url: str) -> str:
        """Where browsers reach this server, without a slash at the end."""
        return self._public_url or base_url

    def check_transport(self, base_url: str) -> None:
        """Refuse to sign in where the browser would drop the cookie.

        Raises:
            InvalidRequest: plain HTTP on another host than this machine.
        """
        parts = urlsplit(self.url(base_url))
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK and not self.is_insecure:
            raise InvalidRequest(
                f"signing in needs HTTPS or localhost, and this is `{parts.scheme}://"
                f"{parts.netloc}`; put a proxy with TLS in front and set GRATICULE_PUBLIC_URL, or "
                "in a lab set GRATICULE_INSECURE_HTTP=true"
            )

    def check_same_origin(
        self, headers: Mapping[str, str], *, base_url: str, may_be_silent: bool = False
    ) -> None:
        """Refuse what another site made the browser send.

        `may_be_silent` lets in what is no browser: one that says neither.

        Raises:
            CrossSite: from another site, or nothing says from where.
        """
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            is_ours = site == "same-origin"
        elif origin is not None:
            is_ours = origin in {_origin(base_url), _origin(self.url(base_url))}
        else:
            is_ours = may_be_silent
        if not is_ours:
            raise CrossSite("this request comes from another site, or does not say from where")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str | None) -> bool:
    return host in _LOOPBACK
