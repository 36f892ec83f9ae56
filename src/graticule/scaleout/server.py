"""The server from the side of a machine that works for one of its scans.

Standard library only: a cluster need not have anything installed for it but pyarrow and numpy.
"""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from graticule.domain.secret import Secret

Json = dict[str, Any]

TIMEOUT_S: Final = 60.0
ATTEMPTS_MAX: Final = 5
PAUSE_S: Final = 0.5
"""Before the second attempt; doubled before every further one."""
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024

_AGAIN: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)})


class NotWanted(Exception):
    """Nobody waits for this part any more."""


class ServerFailed(Exception):
    """The server does not answer, or refuses."""


@dataclass(frozen=True)
class Server:
    """`token` is for one scan, and kept out of everything that is shown or logged."""

    url: str
    token: Secret

    def work(self) -> Json:
        """The state of the scan, and the parts that are still to be done."""
        return self._get("/api/v1/scan-work")

    def part(self, name: str) -> Json:
        """What it takes to inspect a part.

        Raises:
            NotWanted: somebody else was quicker, or the scan is over.
        """
        return self._get(f"/api/v1/scan-work/{quote(name, safe='')}")

    def _get(self, path: str) -> Json:
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
            try:
                return self._once(path)
            except urllib.error.HTTPError as error:
                reason = _told(error)
                if error.code == HTTPStatus.CONFLICT:
                    raise NotWanted(reason) from None
                if error.code not in _AGAIN:
                    raise ServerFailed(reason) from None
            except (OSError, ValueError) as error:
                reason = str(error)
        raise ServerFailed(f"{self.url} does not answer: {reason}")

    def _once(self, path: str) -> Json:
        request = urllib.request.Request(  # noqa: S310 - whoever started the job chose the server
            self.url.rstrip("/") + path,
            headers={
                "Authorization": f"Bearer {self.token.reveal()}",
                "Accept": "application/json",
            },
        )
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            found: Json = json.loads(answer.read(ANSWER_BYTES_MAX))
        return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is for the server it was given for, and for no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


def _told(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            return str(json.loads(error.read(ANSWER_BYTES_MAX))["detail"])
        except (OSError, ValueError, KeyError, TypeError):
            return f"the server answers {error.code}"
