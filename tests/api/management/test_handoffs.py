"""Scans whose files other machines inspect: the same end, whatever these machines do."""

import json
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graticule.cli.failures import CommandFailure
from graticule.cli.main import app
from graticule.discovery.handoff import Answer, answers_to_bytes, part_from_bytes
from graticule.discovery.inspection_codec import from_bytes, to_bytes
from graticule.domain.errors import StorageUnavailable
from graticule.domain.secret import Secret
from graticule.scaleout import spark
from graticule.scaleout.bucket import Bucket, NotRead
from graticule.scaleout.inspecting import inspect_part
from graticule.scaleout.server import Server, ServerFailed
from graticule.services.discovery import handoffs
from graticule.services.jobs import job_worker
from graticule.storage.s3 import ObjectStore
from support.lake import cities
from support.patience import until
from support.scan_clusters import (
    cluster_for,
    fill_with_zoo,
    forget,
    inspect_all,
    known,
    parts_of,
    staged,
    start,
)

pytestmark = pytest.mark.s3

LIMA = (2, -77.03, -12.05)


@pytest.fixture
def pairs(raw, monkeypatch):
    """14 files, one of them cut short, that are handed over two by two."""
    monkeypatch.setattr(handoffs, "files_a_part", lambda _files: 2)
    for n in range(13):
        raw.put(f"cities/part-{n:02}.parquet", cities((n, n, 10.0), LIMA))
    raw.put("cities/part-99.parquet", cities(LIMA)[:100])
    return raw


@pytest.fixture
def learnt(pairs):
    """What the server finds by itself, in a catalog of its own, and forgets again."""
    report, inspections = pairs.scan()["report"], known(pairs)
    forget(pairs)
    return report, inspections


def elsewhere(raw):
    return replace(raw, catalog=raw.server.new_catalog())


def test_the_zoo_inspected_elsewhere_gives_what_the_server_finds_by_itself(raw, monkeypatch):
    monkeypatch.setattr(handoffs, "files_a_part", lambda _files: 100)
    count = fill_with_zoo(raw)
    report, inspections = raw.scan()["report"], known(raw)
    assert report["objects"] == count
    forget(raw)
    raw = elsewhere(raw)
    scan = start(raw)
    done = inspect_all(cluster_for(raw, scan))
    ended = raw.finished(scan["id"])
    assert (ended["state"], ended["report"], known(raw)) == ("proposed", report, inspections)
    assert sum(each.files + each.unreadable for each in done) == len(inspections)
    parts = len(done)
    assert ended["progress"]["elsewhere"] == {"parts": parts, "taken": parts, "refused": []}
    assert staged(raw) == []


def test_a_part_is_inspected_once_and_nobody_waits_for_a_machine_that_comes_late(pairs):
    scan = start(pairs)
    cluster = cluster_for(pairs, scan)
    first, *others = parts_of(cluster)
    assert (len(others), known(pairs)) == (6, {})

    def shown():
        return pairs.http.get(f"{pairs.scans}/{scan['id']}").json()

    until(lambda: shown()["progress"]["phase"] == "elsewhere")
    assert shown()["state"] == "running"
    assert inspect_part(cluster, first) == (first, 2, 0, 0)
    until(lambda: cluster.work()["parts"] == others)
    assert inspect_part(cluster, first) == (first, 0, 0, 0)
    assert len(known(pairs)) == 2
    cancelled = pairs.http.post(f"{pairs.scans}/{scan['id']}/cancel")
    assert cancelled.status_code == 202
    until(lambda: cluster.work()["state"] == "over")
    assert inspect_part(cluster, others[0]) == (others[0], 0, 0, 0)
    assert len(known(pairs)) == 2


def more_answers(answers):
    return [*answers, answers[0]]


def wrong_rows(answers):
    found = replace(from_bytes(answers[0].inspection), rows=10**9)
    return [Answer(to_bytes(found)), *answers[1:]]


def wrong_bound(answers):
    found = from_bytes(answers[0].inspection)
    lies = {path: replace(each, lower="x", upper="y") for path, each in found.metrics.items()}
    return [Answer(to_bytes(replace(found, metrics=lies))), *answers[1:]]


def with_nul(answers):
    return [Answer(None, "what\0"), *answers[1:]]


LIES = {
    more_answers: "3 answers for 2 files",
    wrong_rows: "the rows of the inspection's row groups are not its rows",
    wrong_bound: "is not a value of type",
    with_nul: "NUL",
}


def test_forged_and_garbled_answers_are_refused_and_the_server_looks_itself(pairs, learnt):
    report, inspections = learnt
    pairs = elsewhere(pairs)
    scan = start(pairs)
    cluster = cluster_for(pairs, scan)
    names = parts_of(cluster)
    expected = {}
    for name, (lie, reason) in zip(names, LIES.items(), strict=False):
        put(cluster, name, lie(honest(cluster, name, inspections)))
        expected[name] = reason
    strange, changed, last = names[len(LIES) :]
    put(cluster, strange, honest(cluster, strange, inspections), seal=b"another")
    expected[strange] = "whoever was let inspect"
    told = cluster.part(changed)
    answers = honest(cluster, changed, inspections)
    pairs.s3.put_object(Bucket="lake", Key=told["pending_key"], Body=b"other files")
    put(cluster, changed, answers)
    expected[changed] = "the list of its files was changed"
    inspect_part(cluster, last)
    ended = pairs.finished(scan["id"])
    assert (ended["report"], known(pairs)) == (report, inspections)
    told = ended["progress"]["elsewhere"]
    assert (told["parts"], told["taken"]) == (7, 1)
    refused = {each["part"]: each["reason"] for each in told["refused"]}
    assert refused.keys() == expected.keys()
    assert [name for name in refused if expected[name] not in refused[name]] == []
    assert staged(pairs) == []


def honest(cluster, name, inspections):
    """Answers as the server would give them."""
    told = cluster.part(name)
    files = part_from_bytes(Bucket(told).get(told["pending_key"]))
    return [Answer(*inspections[file.key][2:]) for file in files]


def put(cluster, name, answers, seal=None):
    told = cluster.part(name)
    seal = seal or bytes.fromhex(told["seal"])
    Bucket(told).put(told["answers_key"], answers_to_bytes(answers, part=name, seal=seal))


def test_what_a_machine_gets_opens_its_part_and_nothing_else(pairs):
    pairs.put("villages/part-0.parquet", cities(LIMA))
    scan = start(pairs)
    cluster = cluster_for(pairs, scan)
    names = parts_of(cluster)
    told, last = cluster.part(names[0]), cluster.part(names[-1])
    bucket = Bucket(told)
    key = part_from_bytes(bucket.get(told["pending_key"]))[0].key
    assert bucket.get(key)[:4] == b"PAR1"
    beyond = [f"{pairs.prefix}villages/part-0.parquet", last["pending_key"], last["answers_key"]]
    for other in beyond:
        with pytest.raises(NotRead, match="403"):
            bucket.get(other)
    for other in (key, told["pending_key"], last["answers_key"], f"{pairs.prefix}new"):
        with pytest.raises(NotRead, match="403"):
            bucket.put(other, b"x")
    with pairs.server.http(f"x:{cluster.token.reveal()}") as http:
        http.headers["Authorization"] = f"Bearer {cluster.token.reveal()}"
        assert http.get("/api/v1/me").status_code == 401
    for token in ("x", cluster.token.reveal()[:-3]):
        with pytest.raises(ServerFailed, match="no token of a scan"):
            Server(cluster.url, Secret(token)).work()
    pairs.http.post(f"{pairs.scans}/{scan['id']}/cancel")


def test_the_audit_log_says_which_keys_went_out_for_what_and_until_when(pairs):
    scan = start(pairs)
    cluster = cluster_for(pairs, scan)
    names = parts_of(cluster)[:2]
    told = [cluster.part(name) for name in names]
    pairs.server.services.audit.flush()
    query = {"type": "scan.credential_vended", "subject": scan["id"]}
    events = pairs.http.get("/api/v1/audit", params=query).json()["items"]
    found = {event["details"].pop("part"): event for event in events}
    assert sorted(found) == sorted(names)
    staging = f"s3://lake/{told[0]['pending_key'].rpartition('/pending/')[0]}"
    for name, part in zip(names, told, strict=True):
        event = found[name]
        assert (event["member"]["name"], event["address"]) == ("admin", "127.0.0.1")
        assert event["details"].pop("expires_at_ms") > time.time() * 1000
        assert event["details"] == {
            "access_key_id": part["access_key_id"],
            "reads": [f"s3://lake/{pairs.prefix}cities/", f"{staging}/pending/{name}"],
            "writes": [f"{staging}/inspected/{name}/"],
        }
    pairs.http.post(f"{pairs.scans}/{scan['id']}/cancel")


def test_a_scan_that_nobody_inspects_for_goes_on_by_itself(pairs, learnt, monkeypatch):
    pairs = elsewhere(pairs)
    scan = start(pairs)
    cluster = cluster_for(pairs, scan)
    inspect_part(cluster, parts_of(cluster)[0])
    asked = pairs.http.post(f"{pairs.scans}/{scan['id']}/take-over")
    assert (asked.status_code, asked.json()["state"]) == (202, "running")
    ended = pairs.finished(scan["id"])
    assert (ended["report"], known(pairs)) == learnt
    assert staged(pairs) == []
    forget(pairs)

    monkeypatch.setattr(pairs.server.services.discovery._handoffs, "_patience_s", 0.1)
    pairs = elsewhere(pairs)
    ended = pairs.finished(start(pairs)["id"])
    assert (ended["report"], known(pairs)) == learnt
    assert ended["progress"]["elsewhere"] == {"parts": 7, "taken": 0, "refused": []}
    assert staged(pairs) == []
    late = pairs.http.post(f"{pairs.scans}/{ended['id']}/take-over")
    assert late.status_code == 409


def test_what_a_cancelled_scan_put_ready_is_removed(pairs):
    scan = start(pairs)
    parts_of(cluster_for(pairs, scan))
    assert len(staged(pairs)) == 7
    bare = f"/api/v1/catalogs/{pairs.catalog.id}"
    assert pairs.http.delete(bare).status_code == 409  # it alone knows where they lie
    pairs.http.post(f"{pairs.scans}/{scan['id']}/cancel")
    pairs.server.services.upkeep.wake()
    until(lambda: staged(pairs) == [])
    again = pairs.http.post(f"{pairs.scans}/{scan['id']}/token")
    assert again.status_code == 409


def test_a_handoff_that_is_cut_off_half_way_begins_anew(pairs, learnt, monkeypatch):
    written, put_if_absent = [], ObjectStore.put_if_absent

    def fail_once(store, uri, data, *more):
        written.append(uri)
        if len(written) == 3:
            monkeypatch.setattr(job_worker, "RETRY_S", 0)
            pairs.put("cities/part-98.parquet", cities(LIMA))  # which was not listed
            raise StorageUnavailable("the store stalls")
        return put_if_absent(store, uri, data, *more)

    monkeypatch.setattr(ObjectStore, "put_if_absent", fail_once)
    pairs = elsewhere(pairs)
    scan = start(pairs)
    done = inspect_all(cluster_for(pairs, scan))
    ended = pairs.finished(scan["id"])
    assert (ended["report"], known(pairs)) == learnt
    assert (len(done), len(written)) == (7, 3 + 7)


def test_the_command_line_prints_what_runs_on_a_cluster_and_not_its_token(pairs, tmp_path):
    scan = start(pairs)
    variables = {
        "GRATICULE_URL": pairs.server.url,
        "GRATICULE_CREDENTIAL": pairs.server.key.credential,
        "GRATICULE_TOKEN": "",
    }
    options = ["--master", "yarn", "--conf", "a.b=c", "--bundle", str(tmp_path / "bundle")]
    told = CliRunner().invoke(
        app, ["scan", "spark", pairs.catalog.name, scan["id"], *options], env=variables
    )
    assert told.exit_code == 0, told.output
    [line] = told.stdout.splitlines()
    command = line.split(" ")
    *fixed, modules, job, passed = command
    submit = ["spark-submit", "--master", "yarn", "--deploy-mode", "client"]
    assert fixed == [*submit, "--conf", "a.b=c", "--py-files"]
    assert stat.S_IMODE(Path(passed).stat().st_mode) == 0o600
    content = json.loads(Path(passed).read_text())
    assert Server(content["url"], Secret(content["token"])).work()["scan_id"] == scan["id"]
    assert content["token"] not in told.output
    # Only what was sent, and what every cluster has: no other module of ours, none of the server's.
    imports = (
        "import graticule.scaleout.inspecting as i, sys; print(i.__file__); print(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", imports],
        env={"PYTHONPATH": modules, "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, loaded = ran.stdout.splitlines()
    assert where.startswith(modules)
    assert Path(job).read_text() == Path(spark.__file__).read_text()
    assert {"boto3", "sqlalchemy", "msgspec", "shapely"}.isdisjoint(loaded.split())
    remote = ["--conf", "spark.submit.deployMode=cluster", "--bundle", str(tmp_path / "other")]
    refused = CliRunner().invoke(
        app, ["scan", "spark", pairs.catalog.name, scan["id"], *remote], env=variables
    )
    assert isinstance(refused.exception, CommandFailure)
    assert (refused.exception.exit_code, (tmp_path / "other").exists()) == (2, False)
    assert "`spark.submit.deployMode=cluster` is not supported" in refused.exception.message
    cancelled = pairs.http.post(f"{pairs.scans}/{scan['id']}/cancel")
    assert cancelled.status_code == 202


def test_nothing_is_handed_over_on_storage_where_nothing_may_be_written(http, connect_folder):
    lake = connect_folder(read_only=True)
    body = {"name": lake.folder, "integration": lake.integration["id"], "force": True}
    catalog = http.post("/api/v1/catalogs", json=body).json()["id"]
    refused = http.post(f"/api/v1/catalogs/{catalog}/scans", json={"engine": "spark"})
    assert (refused.status_code, "read-only" in refused.json()["detail"]) == (403, True)
    assert http.get(f"/api/v1/catalogs/{catalog}/scans").json()["items"] == []
