"""`/metrics`: what it says, to whom, and that processes which died still count."""

import os
import signal
import time

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from graticule.services import meters
from support.patience import until
from support.process import serve
from support.server import serving

COST_S_MAX = 10e-6
TOKEN = "a token for the collector"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, seaweedfs):
    with serving(tmp_path_factory.mktemp("guarded"), seaweedfs, metrics_token=TOKEN) as live:
        yield live


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(client: httpx2.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return samples(answer.text)


def health_requests(found: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> float:
    labels = {"route": "/health", "method": "GET", "status": "200"}
    return found.get(("graticule_requests_total", frozenset(labels.items())), 0)


def test_requests_are_counted_by_the_template_of_their_route(http, catalog):
    labels = {"route": "/catalog/v1/{prefix}/namespaces/{namespace}", "method": "GET"}
    missed = ("graticule_requests_total", frozenset({**labels, "status": "404"}.items()))
    timed = ("graticule_request_duration_seconds_count", frozenset(labels.items()))
    before = read(http)
    for _ in range(3):
        http.get(f"{catalog.base}/namespaces/nowhere")
    after = read(http)
    assert after[missed] - before.get(missed, 0) == 3
    assert after[timed] - before.get(timed, 0) == 3
    assert after["graticule_requests_in_progress", frozenset()] >= 1


def test_commits_and_credentials_are_counted_by_how_they_ended(http, catalog):
    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after[key] - before[key]

    before = read(http)
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["ns"]})
    tables = f"{catalog.base}/namespaces/ns/tables"
    http.post(tables, json={"name": "t", "schema": {"type": "struct", "fields": []}})
    update = {"action": "set-properties", "updates": {"a": "b"}}
    other = {"type": "assert-table-uuid", "uuid": "01a2012f-240a-7eaa-b0bd-327207790aa5"}
    http.post(f"{tables}/t", json={"requirements": [], "updates": [update]})
    http.post(f"{tables}/t", json={"requirements": [other], "updates": [update]})
    for _ in range(2):
        vended = {"X-Iceberg-Access-Delegation": "vended-credentials"}
        assert http.get(f"{tables}/t", headers=vended).status_code == 200
    after = read(http)
    assert grown("graticule_commits_total", outcome="landed") == 1
    assert grown("graticule_commits_total", outcome="conflict") == 1
    assert grown("graticule_credentials_total", source="fetched") >= 1
    assert grown("graticule_credentials_total", source="cache") >= 1
    assert grown("graticule_credential_fetches_total", outcome="answered") >= 1


def test_nothing_in_it_names_what_belongs_to_somebody(http, catalog):
    http.post(f"{catalog.base}/namespaces", json={"namespace": ["hidden-name"]})
    http.get(f"{catalog.base}/namespaces/hidden-name/tables/hidden-name")
    http.get("/hidden-name")
    text = http.get("/metrics").text
    assert "hidden-name" not in text
    assert catalog.name not in text
    assert catalog.id not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "catalog.example"},
    ],
    ids=str,
)
def test_without_a_token_it_is_not_there_for_callers_from_elsewhere(http, headers):
    """Also not for an admin: it is about the server, not about an organisation."""
    assert http.get("/metrics", headers=headers).status_code == 404


@pytest.mark.parametrize("shown", [None, "x", TOKEN + "x", "ä"])
def test_with_a_token_it_is_there_for_whoever_shows_it(guarded, shown):
    with guarded.http() as http:
        right = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.9"}
        assert http.get("/metrics", headers=right).status_code == 200
        wrong = {} if shown is None else {"Authorization": f"Bearer {shown}".encode()}
        assert http.get("/metrics", headers=wrong).status_code == 404


def test_counting_a_request_costs_next_to_nothing():
    rounds = 2000

    def timed() -> float:
        started = time.perf_counter()
        for _ in range(rounds):
            meters.IN_PROGRESS.inc()
            meters.IN_PROGRESS.dec()
            meters.count_request("/health", "GET", 200, 0.001)
        return (time.perf_counter() - started) / rounds

    assert min(timed() for _ in range(5)) < COST_S_MAX


def test_all_processes_count_together_also_those_that_died(tmp_path):
    with serve(tmp_path, GRATICULE_WORKERS="2", GRATICULE_LOG_LEVEL="error") as server:

        def fresh() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
            """Over a connection of its own: the workers take turns."""
            with httpx2.Client(base_url=server.url) as http:
                return read(http)

        def processes() -> set[int]:
            return {
                int(dict(labels)["pid"])
                for name, labels in fresh()
                if name == "process_resident_memory_bytes"
            }

        for _ in range(10):
            assert httpx2.get(f"{server.url}/health").status_code == 200
        assert [health_requests(fresh()) for _ in range(4)] == [10] * 4
        victim = min(until(lambda: len(both := processes()) == 2 and both))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(now := processes()) == 2 and victim not in now)
        assert health_requests(fresh()) == 10
