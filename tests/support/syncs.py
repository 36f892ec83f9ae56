"""What tests ask of syncs, over HTTP."""

import time
from dataclasses import dataclass

from support.lake import RawFolder

SYNC_TIMEOUT_S = 60
RUNNING = "running"


@dataclass(frozen=True)
class Syncs:
    """The syncs of the catalog that reads a folder."""

    raw: RawFolder

    @property
    def path(self) -> str:
        return f"/api/v1/catalogs/{self.raw.catalog.id}/syncs"

    def run(self, **body) -> dict:
        """Start one, and wait for its end."""
        started = self.raw.http.post(self.path, json=body)
        assert started.status_code == 202, started.text
        return self.ended(started.json()["id"])

    def ended(self, sync_id: str) -> dict:
        deadline = time.monotonic() + SYNC_TIMEOUT_S
        while True:
            sync = self.raw.http.get(f"{self.path}/{sync_id}").json()
            if sync["state"] != RUNNING:
                return sync
            assert time.monotonic() < deadline, sync
            time.sleep(0.02)

    def post(self, sync: dict, what: str):
        return self.raw.http.post(f"{self.path}/{sync['id']}/{what}")

    def confirmed(self, sync: dict) -> dict:
        answer = self.post(sync, "confirm")
        assert answer.status_code == 202, answer.text
        return self.ended(sync["id"])
