"""What the suites measure with: a secret that is printed is noticed, and reads are counted."""

import pytest

from support.access_meter import reads_of
from support.faults import Access


def test_a_program_that_prints_the_secret_fails_its_run(runner):
    with pytest.raises(AssertionError, match="were printed"):
        runner.run(["/bin/sh", "-c", 'echo "$GRATICULE_CREDENTIAL" | cut -d: -f2 >&2'])


def test_a_program_that_prints_a_vended_secret_fails_its_run(runner, catalog, meter):
    catalog.pyiceberg().create_namespace("ns")
    with catalog.server.http() as http:
        schema = {"type": "struct", "fields": []}
        tables = f"{catalog.base}/namespaces/ns/tables"
        http.post(tables, json={"name": "t", "schema": schema})
        delegation = {"X-Iceberg-Access-Delegation": "vended-credentials"}
        config = http.get(f"{tables}/t", headers=delegation).json()["config"]
    assert config["s3.secret-access-key"] in meter.seen.secrets
    with pytest.raises(AssertionError, match="were printed"):
        runner.run(["/bin/echo", config["s3.secret-access-key"]])


def test_an_engine_has_nothing_in_its_environment_but_the_credential(runner):
    ran = runner.run(["/usr/bin/env"], variables={"GRATICULE_CREDENTIAL": "shown"})
    names = {line.partition("=")[0] for line in ran.stdout.splitlines()}
    told = {"PATH", "HOME", "LANG", "GRATICULE_CREDENTIAL", "AWS_EC2_METADATA_DISABLED"}
    assert names - told <= {"PWD", "SHLVL", "_"}


def test_reads_are_bytes_of_files_that_were_sent():
    def access(method, key, status, sent_bytes):
        return Access(method, f"/lake/{key}?x=1", status, sent_bytes, "engine")

    reads = reads_of(
        [
            access("GET", "t/a%20b.parquet", 206, 10),
            access("GET", "t/a%20b.parquet", 206, 5),
            access("GET", "t/c.parquet", 200, 7),
            access("GET", "t/refused.parquet", 403, 99),
            access("HEAD", "t/looked-at.parquet", 200, 0),
            access("PUT", "t/written.parquet", 200, 0),
            access("GET", "t/metadata.json", 200, 50),
            access("GET", "other/d.parquet", 200, 50),
        ],
        "t/",
        ".parquet",
    )
    assert (reads.bytes_by_key, reads.files, reads.bytes) == (
        {"t/a b.parquet": 15, "t/c.parquet": 7},
        2,
        22,
    )
