"""Who waits for the database together shares a transaction, and nobody shares another's failure."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from graticule.db.engine import create_engine, write
from graticule.domain.errors import CommitConflict, CommitStateUnknown, Unavailable
from graticule.services.catalog.shared_writes import SharedWrites
from support.patience import until

PATIENCE_S = 20


class Kept:
    """A file with one table of names, and what was done to it."""

    def __init__(self, file):
        self.engine = create_engine(f"sqlite:///{file}")
        self.shared = SharedWrites(self.engine)
        with write(self.engine) as conn:
            conn.execute(text("CREATE TABLE kept (name TEXT PRIMARY KEY)"))
        self.commits = []
        event.listen(self.engine, "commit", self.commits.append)

    def names(self):
        with self.engine.connect() as conn:
            return set(conn.execute(text("SELECT name FROM kept")).scalars())

    def keep(self, name):
        """Write the name; `no…` is refused once it is written."""

        def act(conn):
            conn.execute(text("INSERT INTO kept VALUES (:name)"), {"name": name})
            if name.startswith("no"):
                raise CommitConflict(name)

        self.shared.run(act)


@pytest.fixture
def kept(tmp_path):
    kept = Kept(tmp_path / "kept.db")
    yield kept
    kept.engine.dispose()


@contextmanager
def held_up(kept, names):
    """The outcomes of as many threads, all of which wait by the end of the block."""
    with ThreadPoolExecutor(len(names)) as pool:
        with write(kept.engine):
            futures = []
            for number, name in enumerate(names, 1):
                futures.append(pool.submit(kept.keep, name))
                until(lambda count=number: kept.shared.waiting() == count)
            kept.commits.clear()
        yield [future.exception(PATIENCE_S) for future in futures]


def test_who_waits_together_lands_in_one_transaction(kept):
    names = [f"name {number}" for number in range(8)]
    with held_up(kept, names) as errors:
        assert errors == [None] * 8
    assert kept.names() == set(names)
    assert len(kept.commits) == 2  # that which held them up, and theirs


def test_what_one_is_refused_for_is_nobody_elses_business(kept):
    with held_up(kept, ["a", "no", "b", "a"]) as errors:
        assert [type(error).__name__ for error in errors] == [
            "NoneType",
            "CommitConflict",
            "NoneType",
            "IntegrityError",
        ]
    assert kept.names() == {"a", "b"}


def test_who_is_alone_is_refused_at_once(kept):
    with held_up(kept, ["no"]) as [error]:
        assert str(error) == "no"
    assert (kept.names(), len(kept.commits)) == (set(), 1)


@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_that_is_not_answered_is_unknown_to_all_in_it(kept, monkeypatch, lands):
    dialect = kept.engine.dialect
    do_commit, do_rollback = dialect.do_commit, dialect.do_rollback

    def commit(connection):
        if len(kept.commits) < 2:
            return do_commit(connection)
        (do_commit if lands else do_rollback)(connection)
        raise sqlite3.OperationalError("the connection broke")

    monkeypatch.setattr(dialect, "do_commit", commit)
    with held_up(kept, ["a", "b", "c"]) as errors:
        assert [type(error) for error in errors] == [CommitStateUnknown] * 3
    assert kept.names() == ({"a", "b", "c"} if lands else set())


def test_a_database_that_dies_before_the_commit_has_changed_nothing_for_anybody(kept, monkeypatch):
    names = ["a", "b", "c"]
    with ThreadPoolExecutor(3) as pool:
        with write(kept.engine):
            futures = [pool.submit(kept.keep, name) for name in names]
            until(lambda: kept.shared.waiting() == 3)

            def gone(*_):
                raise sqlite3.OperationalError("disk I/O error")

            monkeypatch.setattr(kept.engine.dialect, "do_execute", gone)
        errors = [future.exception(PATIENCE_S) for future in futures]
    monkeypatch.undo()
    assert [type(error) for error in errors] == [Unavailable] * 3
    assert kept.names() == set()
    kept.keep("later")
    assert kept.names() == {"later"}


def test_on_postgresql_nobody_waits_for_anybody(postgres_database):
    shared = SharedWrites(postgres_database)
    inside, may_end = threading.Event(), threading.Event()

    def slow(_conn):
        inside.set()
        assert may_end.wait(PATIENCE_S)

    landed = []
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(shared.run, slow)
        assert inside.wait(PATIENCE_S)
        shared.run(lambda conn: landed.append(conn.execute(text("SELECT 1")).scalar_one()))
        assert (landed, other.done()) == ([1], False)
        may_end.set()
        assert other.exception(PATIENCE_S) is None
