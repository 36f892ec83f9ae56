"""Asking a live server for scan plans, and what is stored for them."""

from dataclasses import dataclass
from typing import Any

import boto3
import httpx2

from support.patience import until
from support.server import LiveCatalog


@dataclass(frozen=True)
class PlannedTable:
    """A table of `catalog`, as a client that speaks HTTP sees it."""

    catalog: LiveCatalog
    http: httpx2.Client
    namespace: str
    name: str

    @property
    def url(self) -> str:
        return f"{self.catalog.base}/namespaces/{self.namespace}/tables/{self.name}"

    def plan(self, body: Any = None, **headers: str) -> httpx2.Response:
        return self.http.post(f"{self.url}/plan", json=body or {}, headers=headers)

    def result(self, plan_id: str) -> httpx2.Response:
        return self.http.get(f"{self.url}/plan/{plan_id}")

    def finished(self, plan_id: str) -> dict:
        """Ask until the plan is no longer on its way."""

        def done() -> dict | None:
            answer = self.result(plan_id)
            assert answer.status_code == 200, answer.text
            plan = answer.json()
            return None if plan["status"] == "submitted" else plan

        return until(done)

    def whole(self, answer: dict) -> list[dict]:
        """All tasks of a plan, those too that its plan tasks stand for."""
        tasks = list(answer["file-scan-tasks"])
        for token in answer.get("plan-tasks", []):
            more = self.http.post(f"{self.url}/tasks", json={"plan-task": token})
            assert more.status_code == 200, more.text
            tasks += self.whole(more.json())
        return tasks

    def files(self, body: Any = None) -> list[str]:
        answer = self.plan(body)
        assert answer.status_code == 200, answer.text
        return sorted(task["data-file"]["file-path"] for task in self.whole(answer.json()))

    @property
    def metadata(self) -> dict:
        return self.http.get(self.url).json()["metadata"]

    @property
    def s3(self) -> Any:
        store = self.catalog.server.store
        return boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=store.region,
            aws_access_key_id=store.admin_keys.access_key_id,
            aws_secret_access_key=store.admin_keys.secret_access_key.reveal(),
        )

    def index_files(self) -> list[str]:
        """Keys of the index files beside the table."""
        return index_files(self.s3, self.metadata["location"])

    def forget_indexes(self) -> None:
        """Look at indexes as another process would, which has none in memory."""
        indexing = self.catalog.server.services.indexing
        indexing._kept.clear()
        indexing._kept_bytes = 0

    def index_status(self) -> dict:
        _, _, rest = self.url.partition(f"{self.catalog.base}/")
        answer = self.http.get(f"/api/v1/catalogs/{self.catalog.id}/{rest}/index")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def await_sound_index(self) -> None:
        """Wait until the index is sound and nobody is at work on it."""

        def is_sound() -> bool:
            status = self.index_status()
            return status["state"] == "ready" and status["job_id"] is None

        until(is_sound, told=self.index_status)

    def await_index(self) -> list[str]:
        """Wait until the current snapshot's index is stored, without asking for a plan."""
        s3 = self.s3

        def stored() -> list[str] | None:
            table = self.metadata
            found = index_files(s3, table["location"])
            current = str(table["current-snapshot-id"])
            return found if any(current in key for key in found) else None

        return until(stored, told=self.index_files)


def index_files(s3: Any, location: str) -> list[str]:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/metadata/geo/")
    return [row["Key"] for row in listed.get("Contents", [])]
