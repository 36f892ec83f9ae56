"""What tests ask of syncs, over HTTP."""

from dataclasses import dataclass

from support.lake import RawFolder
from support.patience import until

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
        def if_ended() -> dict | None:
            sync = self.raw.http.get(f"{self.path}/{sync_id}").json()
            return sync if sync["state"] != RUNNING else None

        return until(if_ended)

    def newest(self, *, after: int) -> dict:
        """The newest, once there are more than so many, at its end."""

        def newest_of_more() -> str | None:
            items = self.raw.http.get(self.path).json()["items"]
            return items[0]["id"] if len(items) > after else None

        return self.ended(until(newest_of_more))

    def post(self, sync: dict, what: str):
        return self.raw.http.post(f"{self.path}/{sync['id']}/{what}")

    def confirmed(self, sync: dict) -> dict:
        answer = self.post(sync, "confirm")
        assert answer.status_code == 202, answer.text
        return self.ended(sync["id"])
