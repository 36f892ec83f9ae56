"""A server killed at random moments loses nothing it acknowledged, and half-does nothing."""

import random
import threading

import httpx2

from support.process import serve
from support.seaweedfs import BUCKET

KILLS = 4
WRITERS = 3
SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "int", "required": False}]}


class Writer:
    """Sets one property after the other, and remembers which were acknowledged."""

    def __init__(self, http: httpx2.Client, url: str, name: str) -> None:
        self.http, self.url, self.name = http, url, name
        self.sent = 0
        self.acknowledged: set[str] = set()

    def run_until_refused(self) -> None:
        try:
            while True:
                self.sent += 1
                key = f"{self.name}.{self.sent}"
                update = {"action": "set-properties", "updates": {key: "v"}}
                body = {"requirements": [], "updates": [update]}
                if self.http.post(self.url, json=body).status_code == 200:
                    self.acknowledged.add(key)
        except httpx2.TransportError:
            return


def test_every_acknowledged_commit_survives_a_kill_and_no_table_is_broken(tmp_path, seaweedfs):
    environment = {
        "GRATICULE_STS_ACCESS_KEY_ID": seaweedfs.catalog_keys.access_key_id,
        "GRATICULE_STS_SECRET_ACCESS_KEY": seaweedfs.catalog_keys.secret_access_key.reveal(),
        "GRATICULE_ALLOW_PRIVATE_ENDPOINTS": "true",
        "GRATICULE_LOG_LEVEL": "error",
        "GRATICULE_WORKERS": "2",
    }
    chance = random.Random(7)
    credential, writers, base = "", [], ""
    for round_ in range(KILLS + 1):
        with serve(tmp_path, **environment) as server:
            credential = credential or server.credential
            headers = {"Authorization": f"Bearer {credential.replace(':', '.', 1)}"}
            with httpx2.Client(base_url=server.url, headers=headers, timeout=30) as http:
                if not round_:
                    base = _make_table(http, seaweedfs)
                    writers = [Writer(http, f"{base}/t", f"w{i}") for i in range(WRITERS)]
                _check(http.get(f"{base}/t"), writers)
                if round_ == KILLS:
                    return
                threads = []
                for writer in writers:
                    writer.http = http
                    threads.append(threading.Thread(target=writer.run_until_refused))
                for thread in threads:
                    thread.start()
                enough = threading.Event()
                enough.wait(chance.uniform(0.2, 0.8))  # the moment of the kill is the experiment
                server.kill()
                for thread in threads:
                    thread.join()


def _make_table(http: httpx2.Client, store) -> str:
    integration = {
        "name": "lake",
        "path": f"s3://{BUCKET}",
        "role_arn": store.role_arn,
        "endpoint": store.endpoint,
        "region": store.region,
        "path_style": True,
    }
    assert http.post("/api/v1/integrations", json=integration).status_code == 201
    made = http.post("/api/v1/catalogs", json={"name": "places", "integration": "lake"})
    base = f"/catalog/v1/{made.json()['id']}/namespaces"
    http.post(base, json={"namespace": ["ns"]})
    tables = f"{base}/ns/tables"
    assert http.post(tables, json={"name": "t", "schema": SCHEMA}).status_code == 200
    return tables


def _check(answer: httpx2.Response, writers: list[Writer]) -> None:
    assert answer.status_code == 200, answer.text
    document = answer.json()["metadata"]
    landed = {name for name in document["properties"] if name.startswith("w") and name[1].isdigit()}
    for writer in writers:
        mine = {name for name in landed if name.startswith(f"{writer.name}.")}
        assert writer.acknowledged <= mine
        # What was under way when the server died may be there whole, or not at all.
        assert len(mine - writer.acknowledged) <= KILLS
    log = [entry["metadata-file"] for entry in document.get("metadata-log", [])]
    assert len(log) == len(set(log))
