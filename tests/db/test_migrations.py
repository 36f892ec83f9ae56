import threading

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, UniqueConstraint, inspect

from graticule.db import schema
from graticule.db.engine import write
from graticule.db.upgrade import (
    SchemaOutdated,
    SchemaStatus,
    check_current,
    configuration,
    status,
    upgrade,
)
from support.database import opened


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
