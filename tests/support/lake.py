"""A folder of the test bucket that data lies in, and what discovery is asked about it."""

from dataclasses import dataclass
from uuid import uuid4

import boto3
import httpx2
import pyarrow as pa
import pytest

from support.parquet_files import native, parquet, point
from support.patience import until
from support.server import LiveCatalog, LiveServer


@dataclass(frozen=True)
class RawFolder:
    """`s3://lake/<prefix>`, as whoever owns the bucket fills it."""

    server: LiveServer
    catalog: LiveCatalog
    http: httpx2.Client
    prefix: str

    @property
    def s3(self):
        store = self.server.store
        return boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=store.region,
            aws_access_key_id=store.admin_keys.access_key_id,
            aws_secret_access_key=store.admin_keys.secret_access_key.reveal(),
        )

    def put(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket="lake", Key=self.prefix + name, Body=data)

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket="lake", Prefix=self.prefix)
        return [row["Key"].removeprefix(self.prefix) for row in listed.get("Contents", [])]

    @property
    def scans(self) -> str:
        return f"/api/v1/catalogs/{self.catalog.id}/scans"

    def scan(self, below: str = "", **options) -> dict:
        """Run a scan to its end."""
        body = {"prefix": f"s3://lake/{self.prefix}{below}", **options}
        started = self.http.post(self.scans, json=body)
        assert started.status_code == 202, started.text
        return self.finished(started.json()["id"])

    def finished(self, scan_id: str) -> dict:
        def now() -> dict:
            return self.http.get(f"{self.scans}/{scan_id}").json()

        return until(lambda: (scan := now())["state"] != "running" and scan, told=now)

    def register(
        self, scan: dict, *, namespace="found", tables="all", **options
    ) -> httpx2.Response:
        body = {"namespace": namespace, "tables": tables, **options}
        return self.http.post(f"{self.scans}/{scan['id']}/register", json=body)


def cities(*places: tuple[int, float, float]) -> bytes:
    """A file of points with the Parquet type GEOMETRY: id, x, y."""
    return parquet(
        {
            "id": pa.array([place[0] for place in places], pa.int64()),
            "geometry": native([point(x, y) for _, x, y in places]),
        }
    )


@pytest.fixture
def raw(server: LiveServer, catalog: LiveCatalog, http: httpx2.Client) -> RawFolder:
    return RawFolder(server, catalog, http, f"raw-{uuid4().hex[:8]}/")
