"""Writers of one table do not get in each other's way, whichever process serves them."""

from concurrent.futures import ThreadPoolExecutor

import httpx2

from support.faults import faulty
from support.process import serve
from support.seaweedfs import BUCKET

WRITERS = 16
COMMITS_EACH = 4
SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "int", "required": False}]}


def test_commits_through_two_processes_all_land_and_waiting_ones_together(tmp_path, seaweedfs):
    keys = seaweedfs.catalog_keys
    with (
        faulty(seaweedfs.endpoint) as store,
        serve(
            tmp_path,
            GRATICULE_WORKERS="2",
            GRATICULE_STS_ACCESS_KEY_ID=keys.access_key_id,
            GRATICULE_STS_SECRET_ACCESS_KEY=keys.secret_access_key.reveal(),
            GRATICULE_ALLOW_PRIVATE_ENDPOINTS="true",
            GRATICULE_LOG_LEVEL="error",
        ) as server,
    ):
        headers = {"Authorization": f"Bearer {server.credential.replace(':', '.', 1)}"}

        def client() -> httpx2.Client:
            return httpx2.Client(base_url=server.url, headers=headers, timeout=60)

        with client() as http:
            integration = {
                "name": "lake",
                "path": f"s3://{BUCKET}",
                "role_arn": seaweedfs.role_arn,
                "endpoint": store.endpoint,
                "region": seaweedfs.region,
                "path_style": True,
            }
            assert http.post("/api/v1/integrations", json=integration).status_code == 201
            made = http.post("/api/v1/catalogs", json={"name": "c", "integration": "lake"})
            base = f"/catalog/v1/{made.json()['id']}/namespaces"
            assert http.post(base, json={"namespace": ["ns"]}).status_code == 200
            url = f"{base}/ns/tables"
            assert http.post(url, json={"name": "t", "schema": SCHEMA}).status_code == 200
            before = store.seen["PUT"]

            def write(writer: int) -> list[int]:
                with client() as mine:
                    return [
                        mine.post(f"{url}/t", json=_commit(f"{writer}.{number}")).status_code
                        for number in range(COMMITS_EACH)
                    ]

            with ThreadPoolExecutor(WRITERS) as pool:
                statuses = [status for some in pool.map(write, range(WRITERS)) for status in some]
            properties = http.get(f"{url}/t").json()["metadata"]["properties"]

        assert statuses == [200] * (WRITERS * COMMITS_EACH)
        landed = {name for name in properties if name[0].isdigit()}
        assert landed == {f"{w}.{n}" for w in range(WRITERS) for n in range(COMMITS_EACH)}
        assert store.seen["PUT"] - before < WRITERS * COMMITS_EACH


def _commit(name: str) -> dict[str, object]:
    update = {"action": "set-properties", "updates": {name: "v"}}
    return {"requirements": [], "updates": [update]}
