import sqlite3
import threading

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from graticule.db import engine as engine_module
from graticule.db.engine import (
    SerialisationFailure,
    create_engine,
    read,
    transact,
    violates,
    with_driver,
    write,
)
from graticule.db.schema import members, organisations
from graticule.domain.errors import CommitStateUnknown, Unavailable
from support.database import opened


def organisation(name, **changes):
    row = {"id": f"id of {name}", "name": name, "edition": "enterprise", "created_at_ms": 1}
    return insert(organisations).values({**row, **changes})


def names(database):
    with read(database) as conn:
        return set(conn.execute(select(organisations.c.name)).scalars())


def kill_backend_of(conn, database):
    pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with read(database) as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


def test_a_write_commits_at_the_end_of_the_block(database):
    with write(database) as conn:
        conn.execute(organisation("a"))

    assert names(database) == {"a"}


def test_a_write_that_fails_half_way_leaves_nothing(database):
    def fail_half_way():
        with write(database) as conn:
            conn.execute(organisation("a"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()

    assert names(database) == set()


def test_a_reader_is_not_blocked_by_a_writer_and_sees_nothing_uncommitted(database):
    with write(database) as conn:
        conn.execute(organisation("a"))
        assert names(database) == set()

    assert names(database) == {"a"}


def test_foreign_keys_are_enforced(database):
    with pytest.raises(IntegrityError), write(database) as conn:
        conn.execute(
            insert(members).values(
                id="m", organisation_id="?", kind="user", name="m", role="user", created_at_ms=1
            )
        )


def test_two_writers_that_read_first_never_lose_an_update(database):
    """The trap of SQLite's legacy transactions, and of forgetting to lock on PostgreSQL."""
    with write(database) as conn:
        conn.execute(organisation("a", created_at_ms=0))
    counter = organisations.c.created_at_ms

    def increment(conn):
        seen = conn.execute(select(counter).with_for_update()).scalar_one()
        conn.execute(update(organisations).values(created_at_ms=seen + 1))

    threads = [
        threading.Thread(target=lambda: [transact(database, increment) for _ in range(10)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with read(database) as conn:
        assert conn.execute(select(counter)).scalar_one() == 80


def test_violates_names_the_unique_constraint_and_no_other(database):
    with write(database) as conn:
        conn.execute(organisation("a"))

    with pytest.raises(IntegrityError) as by_name, write(database) as conn:
        conn.execute(organisation("a", id="another"))
    with pytest.raises(IntegrityError) as by_id, write(database) as conn:
        conn.execute(organisation("b", id="id of a"))

    assert violates(by_name.value, organisations, "name")
    assert not violates(by_name.value, organisations, "id")
    assert not violates(by_id.value, organisations, "name")


def test_a_lost_race_is_tried_again_and_not_for_ever(database, monkeypatch):
    """Each attempt in a transaction of its own, after a pause that grows."""
    pauses, attempts = [], []
    monkeypatch.setattr("graticule.db.engine.time.sleep", pauses.append)

    def lose(conn, times, *, prize):
        attempts.append(1)
        conn.execute(organisation(f"attempt {len(attempts)} of {times}"))
        if len(attempts) <= times:
            raise SerialisationFailure("lost")
        return prize

    assert transact(database, lose, 3, prize="won") == "won"
    assert names(database) == {"attempt 4 of 3"}
    assert len(pauses) == 3
    assert all(0.01 * 2**n <= pause <= 0.02 * 2**n for n, pause in enumerate(pauses))

    attempts.clear()
    with pytest.raises(SerialisationFailure):
        transact(database, lose, 99, prize="never")
    assert len(attempts) == 4


@pytest.mark.postgres
def test_deadlocked_postgres_writers_get_a_serialisation_failure(postgres_database):
    with write(postgres_database) as conn:
        conn.execute(organisation("a"))
        conn.execute(organisation("b"))
    met, outcomes = threading.Barrier(2), []

    def lock(first, second):
        try:
            with write(postgres_database) as conn:
                for number, name in enumerate((first, second)):
                    if number:
                        met.wait(timeout=30)
                    one = organisations.c.name == name
                    conn.execute(update(organisations).where(one).values(created_at_ms=2))
            outcomes.append("done")
        except SerialisationFailure:
            outcomes.append("lost")

    threads = [threading.Thread(target=lock, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["done", "lost"]


def test_a_sqlite_file_locked_by_another_process_is_a_serialisation_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "SQLITE_BUSY_TIMEOUT_MS", 20)
    file = tmp_path / "x.db"
    with opened(f"sqlite:///{file}") as engine:
        with write(engine) as conn:
            conn.execute(text("CREATE TABLE t (x)"))
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SerialisationFailure), write(engine):
            pytest.fail("the lock was not respected")
        other.execute("ROLLBACK")
        other.close()
        with write(engine) as conn:
            conn.execute(text("INSERT INTO t VALUES (1)"))


def test_sqlite_keeps_what_it_acknowledged_and_lets_readers_pass(sqlite_database):
    with read(sqlite_database) as conn:
        pragmas = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 2,
    }


def test_a_postgres_server_that_is_not_there_is_unavailable():
    with opened("postgresql://nobody@127.0.0.1:1/none") as engine:
        with pytest.raises(Unavailable, match="does not answer"), read(engine):
            pytest.fail("connected")
        with pytest.raises(Unavailable, match="does not answer"), write(engine):
            pytest.fail("connected")


@pytest.mark.postgres
def test_a_connection_killed_by_the_server_is_unavailable_and_the_next_one_works(postgres_database):
    def write_through_a_kill():
        with write(postgres_database) as conn:
            conn.execute(organisation("a"))
            kill_backend_of(conn, postgres_database)
            conn.execute(organisation("b"))

    with pytest.raises(Unavailable):
        write_through_a_kill()

    assert names(postgres_database) == set()


@pytest.mark.postgres
def test_a_lost_answer_to_commit_is_not_reported_as_failure(postgres_database):
    def commit_on_a_killed_connection():
        with write(postgres_database) as conn:
            conn.execute(organisation("a"))
            kill_backend_of(conn, postgres_database)

    with pytest.raises(CommitStateUnknown):
        commit_on_a_killed_connection()


def test_a_fault_in_our_sql_is_not_hidden_as_unavailability(database):
    with pytest.raises(Exception, match="no_such_table") as fault, read(database) as conn:
        conn.execute(text("SELECT * FROM no_such_table"))
    assert not isinstance(fault.value, Unavailable)


def test_a_full_pool_is_unavailable(database, monkeypatch):
    monkeypatch.setattr(engine_module, "POOL_TIMEOUT_S", 0.05)
    url = database.url.render_as_string(hide_password=False)
    with (
        opened(url, pool_connections=1) as engine,
        read(engine),
        pytest.raises(Unavailable, match="in use"),
        read(engine),
    ):
        pytest.fail("got a second connection")


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://h/d", "postgresql+psycopg"),
        ("postgresql://h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg"),
        ("sqlite:////tmp/x.db", "sqlite+pysqlite"),
    ],
)
def test_database_urls_get_the_driver_that_is_installed(url, driver):
    assert with_driver(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused_without_showing_a_password(url):
    with pytest.raises(ValueError, match="neither"):
        create_engine(url)


def test_an_unreadable_sqlite_file_is_unavailable(tmp_path):
    with opened(f"sqlite:///{tmp_path}/missing/x.db") as engine:
        with pytest.raises(Unavailable) as failure, read(engine):
            pytest.fail("opened")
        assert isinstance(failure.value.__cause__, OperationalError)


def test_one_connection_writes_to_sqlite_until_something_is_wrong_with_it(sqlite_database):
    def written_with(name):
        with write(sqlite_database) as conn:
            conn.execute(organisation(name))
            return conn.connection.dbapi_connection

    def refuse():
        with write(sqlite_database) as conn:
            conn.execute(organisation("refused"))
            raise Unavailable("no")

    first = written_with("a")
    with pytest.raises(Unavailable):
        refuse()
    assert written_with("b") is first

    with pytest.raises(IntegrityError):
        written_with("a")
    second = written_with("c")
    assert second is not first

    second.close()
    with pytest.raises(DBAPIError, match="closed"):
        written_with("d")
    written_with("d")
    assert names(sqlite_database) == {"a", "b", "c", "d"}


def test_a_database_that_was_let_go_of_is_written_with_another_connection(sqlite_database):
    with write(sqlite_database) as conn:
        before = conn.connection.dbapi_connection
    sqlite_database.dispose()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        before.execute("SELECT 1")
    with write(sqlite_database) as conn:
        conn.execute(organisation("a"))
    assert names(sqlite_database) == {"a"}
