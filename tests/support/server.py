"""A live server on loopback, over SeaweedFS: what API and client tests talk to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.rest import RestCatalog

from graticule.access.tokens import NewKey
from graticule.app import create_app
from graticule.demo.seaweedfs import SeaweedFS
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.wiring import Services, open_services
from support.openapi import check_response
from support.seaweedfs import BUCKET


@dataclass(frozen=True)
class LiveServer:
    """A running server with the first admin's key, and an integration on the bucket `lake`."""

    url: str
    key: NewKey
    services: Services
    store: SeaweedFS
    integration: str

    def http(self, credential: str | None = None) -> httpx2.Client:
        """A client with the admin's API key, or another one (`id:secret`).

        Every answer that it gets is checked against the documents in `openapi/`.
        """
        token = (credential or self.key.credential).replace(":", ".", 1)
        return httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            event_hooks={"response": [check_response]},
        )

    def new_catalog(self, **options: Any) -> "LiveCatalog":
        name = f"catalog {uuid4().hex[:8]}"
        body = {"name": name, "integration": self.integration, **options}
        with self.http() as http:
            made = http.post("/api/v1/catalogs", json=body)
        assert made.status_code in {200, 201}, made.text
        return LiveCatalog(self, name, made.json()["id"])


@dataclass(frozen=True)
class LiveCatalog:
    """A catalog of its own for one test."""

    server: LiveServer
    name: str
    id: str

    @property
    def base(self) -> str:
        return f"/catalog/v1/{self.id}"

    def pyiceberg(self, credential: str | None = None, **properties: str) -> RestCatalog:
        catalog = load_catalog(
            "live",
            type="rest",
            uri=f"{self.server.url}/catalog",
            warehouse=self.name,
            credential=credential or self.server.key.credential,
            **properties,
        )
        assert isinstance(catalog, RestCatalog)
        return catalog


@contextmanager
def serving(
    folder: Path, store: SeaweedFS, *, store_endpoint: str | None = None, **settings: Any
) -> Iterator[LiveServer]:
    """`store_endpoint`: where clients find the store, if something stands in front of it."""
    usual = {
        "sts_access_key_id": store.catalog_keys.access_key_id,
        "sts_secret_access_key": store.catalog_keys.secret_access_key.reveal(),
        "allow_private_endpoints": True,
        "principal_arn": store.arn_of("catalog"),
        "log_level": "warning",
        # Tests leave integrations behind whose stores are gone.
        "verification_period_s": 0,
    }
    configured = Settings(data_dir=folder, **{**usual, **settings})
    services = open_services(configured)
    key = services.organisations.bootstrap()
    assert key is not None
    with BackgroundServer(create_app(services, configured)) as running:
        live = LiveServer(running.url, key, services, store, "lake")
        with live.http() as http:
            made = http.post(
                "/api/v1/integrations",
                json={
                    "name": live.integration,
                    "path": f"s3://{BUCKET}",
                    "role_arn": store.role_arn,
                    "endpoint": store_endpoint or store.endpoint,
                    "region": store.region,
                    "path_style": True,
                },
            )
        assert made.status_code in {200, 201}, made.text
        yield live


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, seaweedfs: SeaweedFS) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("server"), seaweedfs) as live:
        yield live


@pytest.fixture
def catalog(server: LiveServer) -> LiveCatalog:
    return server.new_catalog()


@pytest.fixture
def http(server: LiveServer) -> Iterator[httpx2.Client]:
    with server.http() as client:
        yield client
