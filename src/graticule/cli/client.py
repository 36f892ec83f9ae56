"""The management API from the command line's side: one class, JSON in and out.

Where and as whom comes from `GRATICULE_URL`, and `GRATICULE_TOKEN` or `GRATICULE_CREDENTIAL`
(`client id:client secret`, exchanged for an access token).  Secrets are never taken from arguments.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from graticule.cli.failures import CommandFailure, ExitCode, exit_code_of_status

Json = dict[str, Any]

DEFAULT_URL: Final = "http://127.0.0.1:8181"
TIMEOUT_S: Final = 30.0
VERIFY_TIMEOUT_S: Final = 300.0
"""Verifying and registering last as long as the store takes."""

_TOKEN_PATH: Final = "/catalog/v1/oauth/tokens"
_API: Final = "/api/v1"


class ManagementApi:
    """Use as a context manager."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        credential: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._credential = credential
        self._token = token
        self._http = httpx2.Client(base_url=self._url, timeout=TIMEOUT_S, transport=transport)

    @classmethod
    def from_environment(cls) -> Self:
        return cls(
            os.environ.get("GRATICULE_URL") or DEFAULT_URL,
            token=os.environ.get("GRATICULE_TOKEN") or None,
            credential=os.environ.get("GRATICULE_CREDENTIAL") or None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        return self._call("GET", path, params=_given(params))

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> Json:
        return self._call("POST", path, json=_given(body), timeout=timeout_s)

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._call("PUT", path, json=_given(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._call("PATCH", path, json=_given(body))

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> None:
        self._call("DELETE", path, params=_given(params))

    def list(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """All items of a list, page by page."""
        after = None
        while True:
            page = self.get(path, {**(params or {}), "after": after})
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def stream(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """The bytes of an answer as they come, however long it is."""
        with (
            self._unreachable_explained(),
            self._http.stream(
                "GET", _API + path, params=_given(params), headers=self._authorisation()
            ) as response,
        ):
            if not response.is_success:
                response.read()
                raise _failure(response)
            yield from response.iter_bytes()

    def _call(self, method: str, path: str, **options: Any) -> Json:
        response = self._send(method, _API + path, headers=self._authorisation(), **options)
        return response.json() if response.content else {}

    def _authorisation(self) -> dict[str, str]:
        if self._token is None:
            self._token = self._new_token()
        return {"Authorization": f"Bearer {self._token}"}

    def _new_token(self) -> str:
        if self._credential is None:
            raise CommandFailure(
                "no credential is set",
                remedy="Set GRATICULE_CREDENTIAL to `client id:client secret` of an API key; "
                "the server showed the first one when it started for the first time.",
                exit_code=ExitCode.NOT_ALLOWED,
            )
        client_id, _, client_secret = self._credential.partition(":")
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        token: str = self._send("POST", _TOKEN_PATH, data=form).json()["access_token"]
        return token

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        with self._unreachable_explained():
            response = self._http.request(method, path, **options)
        if not response.is_success:
            raise _failure(response)
        return response

    @contextmanager
    def _unreachable_explained(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise CommandFailure(
                f"{self._url} did not answer in time",
                remedy="What was asked for may still be going on there; look before you repeat it.",
                exit_code=ExitCode.UNREACHABLE,
            ) from error
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise CommandFailure(
                f"could not reach {self._url}: {error}",
                remedy="Start the server with `graticule serve`, or set GRATICULE_URL.",
                exit_code=ExitCode.UNREACHABLE,
            ) from error


_REMEDIES: Final = {
    401: "Check GRATICULE_CREDENTIAL or GRATICULE_TOKEN.",
    503: "Nothing was changed; try again in a moment.",
}


def _given(values: Mapping[str, Any] | None) -> Json | None:
    """Without what was not said: absent and null mean the same to the server."""
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None}


def _failure(response: httpx2.Response) -> CommandFailure:
    return CommandFailure(
        _message(response),
        remedy=_REMEDIES.get(response.status_code),
        exit_code=exit_code_of_status(response.status_code),
    )


def _message(response: httpx2.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return f"the server answered {response.status_code} without saying why"
    for name in ("detail", "error_description"):
        if isinstance(body, dict) and isinstance(body.get(name), str):
            return str(body[name])
    return f"the server answered {response.status_code}"
