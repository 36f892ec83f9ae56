"""The server from the client's side: JSON in and out, over one connection.

Two surfaces are spoken to: Iceberg REST for a table's metadata and its storage credential, the
management API for the files that an area may touch.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self
from urllib.parse import quote

import httpx2

from graticule.client.errors import ClientError
from graticule.domain.identifiers import NAMESPACE_SEPARATOR

Json = dict[str, Any]

URL_DEFAULT: Final = "http://127.0.0.1:8181"
TIMEOUT_S: Final = 300.0
"""The first question about a snapshot may have to wait for its index."""
CONNECT_TIMEOUT_S: Final = 10.0

_CATALOG: Final = "/catalog"


class Server:
    """`bearer` is an access token, or an API key as `<client id>.<client secret>`."""

    def __init__(
        self, url: str, bearer: str | None, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/").removesuffix(_CATALOG)
        self.bearer = bearer
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        self._http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            transport=transport,
        )
        self._prefixes: dict[str, str] = {}

    @classmethod
    def named(cls, uri: str | None, token: str | None, credential: str | None) -> Self:
        """Where and as whom: as said, else as in the variables that the command line reads."""
        if token is None and credential is None:
            token = os.environ.get("GRATICULE_TOKEN") or None
            credential = os.environ.get("GRATICULE_CREDENTIAL") or None
        if token is None and credential is not None:
            token = credential.replace(":", ".", 1)
        return cls(uri or os.environ.get("GRATICULE_URL") or URL_DEFAULT, token)

    def load_table(
        self, catalog: str, namespace: Sequence[str], name: str, *, all_snapshots: bool = False
    ) -> Json:
        """The answer of Iceberg's loadTable, with a storage credential.

        Raises:
            ClientError: there is no such table for this caller, or the server cannot be reached.
        """
        path = (
            f"{_CATALOG}/v1/{self._prefix(catalog)}/namespaces/"
            f"{_segment(NAMESPACE_SEPARATOR.join(namespace))}/tables/{_segment(name)}"
        )
        return self._call(
            "GET",
            path,
            params={"snapshots": "all" if all_snapshots else "refs"},
            headers={"X-Iceberg-Access-Delegation": "vended-credentials,remote-signing"},
        )

    def find_files(
        self, catalog: str, namespace: Sequence[str], name: str, question: Mapping[str, Any]
    ) -> Iterator[Json]:
        """The pages of the answer to `POST …/files/search`.

        Raises:
            ClientError: there is no such table for this caller, the question makes no sense, or
                the server cannot be reached.
        """
        path = f"{_management(catalog, namespace, name)}/files/search"
        after = None
        while True:
            page = self._call("POST", path, json={**question, "after": after})
            yield page
            after = page["next"]
            if after is None:
                return

    def predicate(
        self, catalog: str, namespace: Sequence[str], name: str, question: Mapping[str, Any]
    ) -> str:
        """A condition in an engine's language that leaves out files by their boxes.

        Raises:
            ClientError: as `find_files`.
        """
        path = f"{_management(catalog, namespace, name)}/predicate"
        return str(self._call("POST", path, json=dict(question))["predicate"])

    def _prefix(self, catalog: str) -> str:
        """What the server calls the catalog in paths."""
        if catalog not in self._prefixes:
            config = self._call("GET", f"{_CATALOG}/v1/config", params={"warehouse": catalog})
            merged = {**(config.get("defaults") or {}), **(config.get("overrides") or {})}
            self._prefixes[catalog] = _segment(str(merged.get("prefix", catalog)))
        return self._prefixes[catalog]

    def _call(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise ClientError(f"could not reach {self.url}: {error}") from error
        if response.is_success:
            document: Json = response.json()
            return document
        raise ClientError(_message(response), status=response.status_code)


def _management(catalog: str, namespace: Sequence[str], name: str) -> str:
    # The separator at the end keeps the dots of a single level from being taken for levels.
    joined = NAMESPACE_SEPARATOR.join(namespace)
    levels = joined if len(namespace) > 1 else joined + NAMESPACE_SEPARATOR
    return (
        f"/api/v1/catalogs/{_segment(catalog)}/namespaces/{_segment(levels)}"
        f"/tables/{_segment(name)}"
    )


def _segment(text: str) -> str:
    return quote(text, safe="")


def _message(response: httpx2.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        error = body.get("error")
        told = body.get("detail") or (error.get("message") if isinstance(error, dict) else error)
        if isinstance(told, str):
            return told
    return f"the server answered {response.status_code}"
