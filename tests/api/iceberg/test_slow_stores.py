"""A store that hangs holds up its own catalogs, and no others."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from graticule.storage.gates import PATIENCE_S, STORE_CALLERS_MAX
from support.faults import Stalls, faulty
from support.patience import until

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": True}]}
REQUESTS = 32
"""Twice as many as the server has threads."""


def namespace_in(http, catalog_id) -> str:
    base = f"/catalog/v1/{catalog_id}/namespaces"
    assert http.post(base, json={"namespace": ["ns"]}).status_code == 200
    return f"{base}/ns"


@pytest.mark.parametrize("method", ["PUT", "POST"], ids=["store", "token service"])
def test_while_one_store_hangs_the_tables_of_others_are_made_and_loaded(
    server, http, catalog, connect_folder, method
):
    alive = namespace_in(http, catalog.id)
    with faulty(server.store.endpoint) as proxy:
        lake = connect_folder(endpoint=proxy.endpoint)
        body = {"name": lake.folder, "integration": lake.integration["id"]}
        dead = namespace_in(http, http.post("/api/v1/catalogs", json=body).json()["id"])

        def create(number):
            with server.http() as client:
                started = time.monotonic()
                table = {"name": f"t{number}", "schema": SCHEMA}
                status = client.post(f"{dead}/tables", json=table).status_code
                return status, time.monotonic() - started

        with ThreadPoolExecutor(REQUESTS) as pool:
            if method == "PUT":  # the server has its session; then the store hangs
                assert create("first")[0] == 200
            proxy.faults += [Stalls(method)] * REQUESTS
            before = proxy.seen[method]
            stuck = [pool.submit(create, number) for number in range(REQUESTS)]
            until(lambda: sum(one.done() for one in stuck) >= REQUESTS - STORE_CALLERS_MAX)
            refused = [one.result() for one in stuck if one.done()]
            assert {status for status, _ in refused} == {503}

            started = time.monotonic()
            made = http.post(f"{alive}/tables", json={"name": "t", "schema": SCHEMA})
            assert made.status_code == 200
            assert http.get(f"{alive}/tables/t").status_code == 200
            assert time.monotonic() - started < PATIENCE_S
            assert 0 < proxy.seen[method] - before <= STORE_CALLERS_MAX
            proxy.closing.set()
