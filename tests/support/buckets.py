"""The test store's other bucket, connected by one test at a time, as its owner sees it too."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import boto3
import httpx2
import pytest

from graticule.demo.seaweedfs import SeaweedFS
from support.seaweedfs import OTHER_BUCKET
from support.server import LiveServer

Json = dict[str, Any]


@dataclass(frozen=True)
class ConnectedFolder:
    """`s3://elsewhere/<folder>` with an integration on it."""

    integration: Json
    s3: Any
    """A client of the bucket's owner."""
    folder: str

    @property
    def api(self) -> str:
        return f"/api/v1/integrations/{self.integration['id']}"

    @property
    def uri(self) -> str:
        return f"s3://{OTHER_BUCKET}/{self.folder}"

    def put(self, name: str, data: bytes = b"x") -> str:
        """Put an object below the folder; its URI."""
        self.s3.put_object(Bucket=OTHER_BUCKET, Key=f"{self.folder}/{name}", Body=data)
        return f"{self.uri}/{name}"

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=OTHER_BUCKET, Prefix=f"{self.folder}/")
        return [row["Key"].removeprefix(f"{self.folder}/") for row in listed.get("Contents", [])]


def owners_client(store: SeaweedFS) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store.region,
        aws_access_key_id=store.admin_keys.access_key_id,
        aws_secret_access_key=store.admin_keys.secret_access_key.reveal(),
    )


@contextmanager
def connected(server: LiveServer, http: httpx2.Client, **changes: Any) -> Iterator[ConnectedFolder]:
    """Connect a fresh folder, by the store's role unless told otherwise; `...` leaves a field out.

    At the end its catalogs and the integration are gone again.
    """
    folder = f"folder-{uuid4().hex[:8]}"
    body = {
        "name": f"i {folder}",
        "path": f"s3://{OTHER_BUCKET}/{folder}",
        "role_arn": server.store.role_arn,
        "endpoint": server.store.endpoint,
        "region": server.store.region,
        **changes,
    }
    made = http.post("/api/v1/integrations", json={k: v for k, v in body.items() if v is not ...})
    assert made.status_code == 201, made.text
    found = ConnectedFolder(made.json(), owners_client(server.store), folder)
    try:
        yield found
    finally:
        _forget(http, found)


def _forget(http: httpx2.Client, found: ConnectedFolder) -> None:
    for catalog in http.get("/api/v1/catalogs?limit=1000").json()["items"]:
        if catalog["integration_id"] != found.integration["id"]:
            continue
        base = f"/catalog/v1/{catalog['id']}/namespaces"
        for (level,) in http.get(base).json()["namespaces"]:
            namespace = f"{base}/{quote(level, safe='')}"
            for table in http.get(f"{namespace}/tables").json()["identifiers"]:
                http.delete(f"{namespace}/tables/{quote(table['name'], safe='')}")
            http.delete(namespace)
        assert http.delete(f"/api/v1/catalogs/{catalog['id']}").status_code == 204
    assert http.delete(found.api).status_code == 204


@pytest.fixture
def connect_folder(
    server: LiveServer, http: httpx2.Client
) -> Iterator[Callable[..., ConnectedFolder]]:
    """Connects the other bucket, until the end of the test."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(connected(server, http, **changes))
