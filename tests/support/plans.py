"""Asking a live server for scan plans, and what is stored for them."""

import time
from dataclasses import dataclass
from typing import Any

import boto3
import httpx2

from support.server import LiveCatalog

PLAN_TIMEOUT_S = 60


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
        deadline = time.monotonic() + PLAN_TIMEOUT_S
        while True:
            answer = self.result(plan_id)
            assert answer.status_code == 200, answer.text
            if answer.json()["status"] != "submitted":
                return answer.json()
            assert time.monotonic() < deadline
            time.sleep(0.05)

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
        deadline = time.monotonic() + PLAN_TIMEOUT_S
        while True:
            status = self.index_status()
            if status["state"] == "ready" and status["job_id"] is None:
                return
            assert time.monotonic() < deadline, status
            time.sleep(0.02)

    def await_index(self) -> list[str]:
        """Wait until the current snapshot's index is stored, without asking for a plan."""
        deadline = time.monotonic() + PLAN_TIMEOUT_S
        while True:
            current = str(self.metadata["current-snapshot-id"])
            found = self.index_files()
            if any(current in key for key in found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def index_files(s3: Any, location: str) -> list[str]:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/metadata/geo/")
    return [row["Key"] for row in listed.get("Contents", [])]
