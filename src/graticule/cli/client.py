"""The management API from the command line's side: one class, JSON in and out.

Where and as whom comes from `GRATICULE_URL`, and `GRATICULE_TOKEN` or `GRATICULE_CREDENTIAL`
(`client id:client secret`, exchanged for an access token), else from what `graticule login` kept.
Secrets are never taken from arguments.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from graticule.cli import saved_sign_in
from graticule.cli.connection import DEFAULT_URL
from graticule.cli.failures import CommandFailure, ExitCode, exit_code_of_status

Json = dict[str, Any]

TIMEOUT_S: Final = 30.0
VERIFY_TIMEOUT_S: Final = 300.0
"""Verifying and registering last as long as the store takes."""

_TOKEN_PATH: Final = "/catalog/v1/oauth/tokens"
_API: Final = "/api/v1"
_ICEBERG_API: Final = "/catalog/v1"
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_NOT_YET: Final = frozenset({"authorization_pending", "slow_down"})


def environment_url() -> str | None:
    return os.environ.get("GRATICULE_URL") or None


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
        url = environment_url()
        token = os.environ.get("GRATICULE_TOKEN") or None
        credential = os.environ.get("GRATICULE_CREDENTIAL") or None
        if token is None and credential is None:
            # Only what was kept for a server goes there, and nothing else from the environment.
            saved = saved_sign_in.load(url.rstrip("/") if url else None)
            if saved is not None:
                return cls(saved.url, credential=saved.credential)
        return cls(url or DEFAULT_URL, token=token, credential=credential)

    @property
    def url(self) -> str:
        return self._url

    @property
    def credential(self) -> str | None:
        """`client id:client secret`, if it is an API key that we act with.  Secret!"""
        return self._credential

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

    def get_iceberg(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        """What the Iceberg REST API answers; `path` begins with the prefix of a catalog."""
        response = self._send(
            "GET", _ICEBERG_API + path, params=_given(params), headers=self._authorisation()
        )
        answer: Json = response.json()
        return answer

    def get_text(self, path: str, params: Mapping[str, Any] | None = None) -> str:
        return self._send(
            "GET", _API + path, params=_given(params), headers=self._authorisation()
        ).text

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> Json:
        return self._call("POST", path, json=_given(body), timeout=timeout_s)

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._call("PUT", path, json=_given(body))

    def patch(self, path: str, body: Mapping[str, Any], *, with_nulls: bool = False) -> Json:
        """Change what is in `body`.  `with_nulls`: None is to be said, and clears a field."""
        return self._call("PATCH", path, json=dict(body) if with_nulls else _given(body))

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
                raise self._failure(response)
            yield from response.iter_bytes()

    def _call(self, method: str, path: str, **options: Any) -> Json:
        response = self._send(method, _API + path, headers=self._authorisation(), **options)
        return response.json() if response.content else {}

    def _authorisation(self) -> dict[str, str]:
        if self._token is None and self._credential is not None:
            self._token = self._new_token(self._credential)
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    def start_device(self, name: str) -> Json:
        """Ask for a code with which somebody signs this command line in."""
        started: Json = self._send("POST", f"{_API}/device", json={"name": name}).json()
        return started

    def poll_device(self, device_code: str) -> tuple[str | None, bool]:
        """The token once somebody approved; None before, and whether to ask less often."""
        form = {"grant_type": _DEVICE_GRANT, "device_code": device_code}
        answer = self._send("POST", f"{_API}/device/token", data=form, accepted=_NOT_YET)
        document = answer.json()
        return document.get("access_token"), document.get("error") == "slow_down"

    def _new_token(self, credential: str) -> str:
        client_id, _, client_secret = credential.partition(":")
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        token: str = self._send("POST", _TOKEN_PATH, data=form).json()["access_token"]
        return token

    def _send(
        self,
        method: str,
        path: str,
        *,
        accepted: Collection[str] = (),
        **options: Any,
    ) -> httpx2.Response:
        """Send, and fail for every refusal but the OAuth errors in `accepted`."""
        with self._unreachable_explained():
            response = self._http.request(method, path, **options)
        if response.is_success or _oauth_error(response) in accepted:
            return response
        raise self._failure(response)

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

    def _failure(self, response: httpx2.Response) -> CommandFailure:
        if (
            response.status_code == HTTPStatus.UNAUTHORIZED
            and self._token is None
            and self._credential is None
        ):
            return CommandFailure(
                "no credential is set", remedy=_HOW_TO_SIGN_IN, exit_code=ExitCode.NOT_ALLOWED
            )
        return CommandFailure(
            _message(response),
            remedy=_REMEDIES.get(response.status_code),
            exit_code=exit_code_of_status(response.status_code),
        )


_HOW_TO_SIGN_IN: Final = (
    "Run `graticule login`, or set GRATICULE_CREDENTIAL to `client id:client secret` of an API key."
)
_REMEDIES: Final = {
    401: "Check GRATICULE_CREDENTIAL or GRATICULE_TOKEN, or run `graticule login` again.",
    503: "Nothing was changed; try again in a moment.",
}


def _given(values: Mapping[str, Any] | None) -> Json | None:
    """Without what was not said: absent and null mean the same to the server."""
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None}


def _oauth_error(response: httpx2.Response) -> str | None:
    try:
        body = response.json()
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, str) else None


def _message(response: httpx2.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return f"the server answered {response.status_code} without saying why"
    for name in ("detail", "error_description"):
        if isinstance(body, dict) and isinstance(body.get(name), str):
            return str(body[name])
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return str(body["error"].get("message"))
    return f"the server answered {response.status_code}"
