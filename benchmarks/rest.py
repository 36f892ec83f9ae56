"""The few requests that benchmarks make, over connections that are kept alive."""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit

REFUSED_FROM = 400
BROKEN = 599
"""Stands for an answer that never came."""


class Refused(RuntimeError):
    """The server answered with an error where a benchmark must have success."""


class Connection:
    """One connection to a server; `base` is where its `/namespaces` are."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        parts = urlsplit(base)
        self._path = parts.path
        self._headers = headers
        self._http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self.last_headers: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, bytes]:
        """The status and the body; `BROKEN` when the connection broke."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        all_headers = {"Content-Type": "application/json", **self._headers, **headers}
        try:
            if self._http.sock is None:
                self._http.connect()
                self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._http.request(method, self._path + path, data, all_headers)
            answer = self._http.getresponse()
            content = answer.read()
            self.last_headers = answer.headers
        except (OSError, http.client.HTTPException):
            self._http.close()
            return BROKEN, b""
        return answer.status, content

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON answer.  Raises Refused when it is an error."""
        status, content = self.request(method, path, body, **headers)
        if status >= REFUSED_FROM:
            raise Refused(f"{method} {path}: {status} {content[:400]!r}")
        return json.loads(content) if content else None

    # What a catalog can do.

    def create_namespace(self, name: str) -> None:
        self.call("POST", "/namespaces", {"namespace": [name], "properties": {}})

    def create_table(self, namespace: str, name: str, schema: Any, **properties: str) -> Any:
        # Complete, because Nessie answers 500 to a request without a spec and an order.
        body = {
            "name": name,
            "schema": schema,
            "partition-spec": {"spec-id": 0, "fields": []},
            "write-order": {"order-id": 0, "fields": []},
            "stage-create": False,
            "properties": properties,
        }
        return self.call("POST", f"/namespaces/{namespace}/tables", body)

    def register_table(self, namespace: str, name: str, metadata_location: str) -> Any:
        body = {"name": name, "metadata-location": metadata_location}
        return self.call("POST", f"/namespaces/{namespace}/register", body)

    def load_table(self, namespace: str, name: str) -> Any:
        return self.call("GET", table_path(namespace, name))

    def commit(
        self, namespace: str, name: str, updates: list[Any], requirements: list[Any]
    ) -> tuple[int, bytes]:
        body = {
            "identifier": {"namespace": [namespace], "name": name},
            "requirements": requirements,
            "updates": updates,
        }
        return self.request("POST", table_path(namespace, name), body)


def table_path(namespace: str, name: str) -> str:
    return f"/namespaces/{quote(namespace)}/tables/{quote(name)}"
