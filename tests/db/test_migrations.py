import json
import threading

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, UniqueConstraint, inspect, select, text

from graticule.db import integrations, inventories, schema, verifications
from graticule.db.engine import read, write
from graticule.db.upgrade import (
    SchemaOutdated,
    SchemaStatus,
    check_current,
    configuration,
    status,
    upgrade,
)
from graticule.discovery.diff import KnownFile
from graticule.domain.verification import Check, CheckStatus
from support.database import opened

BEFORE_GRANTS = "0006"
ROWS_BEFORE_GRANTS = {
    "organisations": {"id": "o", "name": "o", "edition": "enterprise", "created_at_ms": 1},
    "storage_integrations": {
        "id": "i",
        "organisation_id": "o",
        "name": "i",
        "bucket": "lake",
        "key": "",
        "region": "eu-central-1",
        "endpoint": "",
        "path_style": False,
        "role_arn": "arn:aws:iam::123456789012:role/lake",
        "bucket_type": "private",
        "version": 1,
        "created_at_ms": 1,
    },
    "catalogs": {
        "id": "c",
        "organisation_id": "o",
        "integration_id": "i",
        "name": "c",
        "location": "s3://lake/c",
        "properties": "{}",
        "created_at_ms": 1,
    },
}


def test_upgrading_an_empty_database_gives_exactly_the_schema(database):
    with database.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_constraints_and_indexes_have_the_names_the_schema_gives_them(database):
    found = inspect(database)

    def names(table, kind):
        return {item["name"] for item in getattr(found, f"get_{kind}")(table.name)}

    for table in schema.metadata.sorted_tables:
        checks, uniques = (
            {constraint.name for constraint in table.constraints if isinstance(constraint, kind)}
            for kind in (CheckConstraint, UniqueConstraint)
        )
        assert names(table, "check_constraints") == checks, table.name
        assert names(table, "unique_constraints") == uniques, table.name
        assert names(table, "indexes") - uniques == {index.name for index in table.indexes}


def test_an_empty_database_is_refused_and_the_message_names_the_command(empty_database_url):
    with opened(empty_database_url) as engine:
        with pytest.raises(SchemaOutdated, match="run `graticule database upgrade`"):
            check_current(engine)
        assert status(engine).current is None

        done = upgrade(engine)

        assert done == status(engine) == SchemaStatus(done.needed, done.needed)
        check_current(engine)


def test_upgrading_twice_changes_nothing(database):
    before = status(database)

    assert upgrade(database) == before


def test_replicas_that_start_at_once_migrate_once(empty_database_url):
    with opened(empty_database_url) as one, opened(empty_database_url) as other:
        outcomes = []
        threads = [
            threading.Thread(target=lambda engine=engine: outcomes.append(upgrade(engine)))
            for engine in (one, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(outcomes) == 2
        assert all(outcome.is_current for outcome in outcomes)


def test_the_first_storey_can_be_taken_down_again(database):
    with write(database) as conn:
        command.downgrade(configuration(conn), "base")

    assert set(inspect(database).get_table_names()) == {"alembic_version"}


def test_the_last_report_of_an_integration_becomes_its_first_in_the_history(empty_database_url):
    check = {"id": "list", "title": "T", "status": "pass", "ms": 3, "detail": "d"}
    report = {"verified_at_ms": 7, "passed": True, "bucket_type": "private"}
    report["checks"] = [{**check, "remedy": None, "docs": "https://example.org"}]
    with opened(empty_database_url) as engine:
        with write(engine) as conn:
            command.upgrade(configuration(conn), "0007")
            conn.execute(
                text(
                    "INSERT INTO organisations (id, name, edition, created_at_ms)"
                    " VALUES ('o', 'o', 'enterprise', 1)"
                )
            )
            conn.execute(
                text(
                    "INSERT INTO storage_integrations (id, organisation_id, name, bucket, key,"
                    " region, endpoint, path_style, role_arn, bucket_type, version, created_at_ms,"
                    " verified_at_ms, verification) VALUES ('i', 'o', 'lake', 'b', '', 'r', '',"
                    " false, 'arn', 'private', 2, 1, 7, :report)"
                ),
                {"report": json.dumps(report)},
            )
        upgrade(engine)
        with write(engine) as conn:
            kept = verifications.last_ended(conn, "i", now_ms=8)
            assert kept is not None
            assert (kept.state, kept.started_at_ms, kept.finished_at_ms) == ("passed", 7, 7)
            assert kept.checks == (Check("list", "T", CheckStatus.PASS, 3, "d"),)
            assert integrations.lease_due(conn, now_ms=8, until_ms=9) == ("i", "scheduled")


def test_what_was_known_of_a_tables_files_is_still_known(empty_database_url):
    rows = ROWS_BEFORE_GRANTS | {
        "namespaces": {
            "id": "n",
            "catalog_id": "c",
            "path": "n",
            "parent": "",
            "properties": "{}",
            "created_at_ms": 1,
        },
        "tables": {
            "id": "t",
            "catalog_id": "c",
            "namespace_id": "n",
            "name": "t",
            "kind": "table",
            "table_uuid": "u",
            "location": "s3://lake/c/t/",
            "metadata_location": "m",
            "version": 0,
            "created_at_ms": 1,
            "updated_at_ms": 1,
        },
    }
    known = {"discovered_tables": {"table_id": "t", "revision": 7}}
    known["discovered_files"] = {
        "table_id": "t",
        "key": "k",
        "etag": "e",
        "size_bytes": 5,
        "state": "taken",
        "reason": "",
        "manifest": "m0",
    }
    with opened(empty_database_url) as engine:
        for revision, there in ((BEFORE_GRANTS, rows), ("0021", known)):
            with write(engine) as conn:
                command.upgrade(configuration(conn), revision)
                _insert(conn, there)
        upgrade(engine)
        with read(engine) as conn:
            file = KnownFile("k", "e", 5, manifest="m0")
            known = inventories.of_table(conn, "t")
            assert known == ("t", 7)
            assert inventories.between(conn, known.id, "", None, limit=9) == [file]


def _insert(conn, rows):
    for table, row in rows.items():
        columns = ", ".join(row)
        values = ", ".join(f":{column}" for column in row)
        conn.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), row)


def test_a_failing_migration_leaves_nothing_behind(empty_database_url, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("power cut")

    monkeypatch.setattr(MigrationContext, "run_migrations", _then(fail))

    with opened(empty_database_url) as engine:
        with pytest.raises(RuntimeError, match="power cut"):
            upgrade(engine)
        assert inspect(engine).get_table_names() == []


def _then(act):
    original = MigrationContext.run_migrations

    def run(self, **options):
        original(self, **options)
        act()

    return run


def test_catalogs_that_were_there_stay_open_to_all_members(empty_database_url):
    """Before there were grants every member could write to every catalog."""
    with opened(empty_database_url) as engine:
        with write(engine) as conn:
            command.upgrade(configuration(conn), BEFORE_GRANTS)
            _insert(conn, ROWS_BEFORE_GRANTS)
        upgrade(engine)
        with write(engine) as conn:
            given = conn.execute(select(schema.grants)).one()
    assert (given.catalog_id, given.object_id, given.kind, given.path) == ("c", "c", "catalog", "")
    assert (given.grantee_id, given.grantee_kind, given.privilege) == ("o", "role", 3)
