"""Engines and transactions on SQLite and PostgreSQL: the only place where the two differ.

Knows no table.  `read` and `write` hand out a connection inside a transaction and translate what
the driver says when the database is gone, busy or silent; SQL itself lives in the modules beside.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, Table, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from graticule.db.sqlite_reader import SqliteReader
from graticule.db.sqlite_writer import SqliteWriter
from graticule.domain import waiting
from graticule.domain.errors import CommitStateUnknown, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

POOL_CONNECTIONS: Final = 16
POOL_TIMEOUT_S: Final = 10
CONNECT_TIMEOUT_S: Final = 5
SQLITE_BUSY_TIMEOUT_MS: Final = 10_000

_WAL_ATTEMPTS_MAX: Final = 100
_WAL_PAUSE_S: Final = 0.02
_RETRY_PAUSES_S: Final = (0.01, 0.02, 0.04)  # after a lost race; each at most doubled
_WRITE_POLL_S_MIN: Final = 0.0002
_WRITE_POLL_S_MAX: Final = 0.001

_IS_WRITE: Final = "graticule_is_write"
_WRITER: Final = "graticule_writer"
_READER: Final = "graticule_reader"
_POSTGRES_SERIALISATION_STATES: Final = frozenset({"40001", "40P01", "55P03"})


class SerialisationFailure(Unavailable):
    """Another transaction came in between.  Nothing was changed: the act may be tried again."""


def create_engine(url: str, *, pool_connections: int = POOL_CONNECTIONS) -> Engine:
    """An engine for `sqlite:///file` or `postgresql://…`.  The caller disposes of it.

    `pool_connections` should not be smaller than the number of threads that serve requests.
    """
    parsed = with_driver(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, pool_connections)
    return sqlalchemy.create_engine(
        parsed,
        pool_size=pool_connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "graticule"},
    )


def with_driver(url: str) -> URL:
    """The URL with the driver this server brings: `postgres://` and the like mean psycopg 3."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed.set(drivername="sqlite+pysqlite")
    raise ValueError(
        f"database URL `{parsed.render_as_string()}` is neither `postgresql://…` "
        "nor `sqlite:///` with the path of a file"
    )


def _sqlite(url: URL, pool_connections: int) -> Engine:
    reader, writer = SqliteReader(str(url.database)), SqliteWriter()
    engine = sqlalchemy.create_engine(
        url,
        pool_size=pool_connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_MS / 1000},
        execution_options={_WRITER: writer, _READER: reader},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's legacy mode begins transactions behind our back, and only before some
        # statements: a read followed by a write would then upgrade its lock and fail at once
        # with SQLITE_BUSY.  Switched off here, `begin` below says what begins and how.
        connection.isolation_level = None
        _switch_to_wal(connection)
        for pragma in (
            "synchronous = FULL",  # an acknowledged commit survives a power cut
            # Some builds write every page that was freed once more, full of zeros: half of what a
            # commit writes.  Secrets are kept sealed or hashed, so nothing has to be wiped.
            "secure_delete = FAST",
            "foreign_keys = ON",
            f"busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_IS_WRITE, False):
            _begin_write(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "engine_disposed")
    def close_both(_engine: Engine) -> None:
        reader.close()
        writer.close()

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Writers no longer block readers.  The file remembers, so this works once per database.

    Two processes that open a new file at once disturb each other here, and SQLite answers one of
    them that the database is locked without waiting for `busy_timeout`.
    """
    for _ in range(_WAL_ATTEMPTS_MAX - 1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def _opened_to_write(engine: Engine) -> Connection:
    """A connection that is out of the pool for good, and does not wait where SQLite would."""
    conn = engine.connect()
    conn.detach()
    conn.execution_options(**{_IS_WRITE: True})  # changes this connection in place
    driver: Any = conn.connection.dbapi_connection
    driver.execute("PRAGMA busy_timeout = 0")
    return conn


def _begin_write(connection: Connection) -> None:
    """Take the write lock, and look often while another process has it.

    It is held for a millisecond; SQLite's own wait soon looks every ten or hundred only.
    """
    driver: Any = connection.connection.dbapi_connection
    ends_at = time.monotonic() + SQLITE_BUSY_TIMEOUT_MS / 1000
    pause_s = _WRITE_POLL_S_MIN
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not _is_busy(error) or time.monotonic() > ends_at:
                raise driver_failure("BEGIN IMMEDIATE", error, connection) from error
        else:
            return
        time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
        pause_s = min(_WRITE_POLL_S_MAX, pause_s * 1.2)


def _is_busy(error: sqlite3.Error) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)  # the driver's own have none
    return code & 0xFF == sqlite3.SQLITE_BUSY


def driver_failure(sql: str, error: sqlite3.Error, connection: Connection) -> Exception:
    """What SQLAlchemy would raise, for statements that were handed to SQLite's driver."""
    return DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=connection.dialect)


def sqlite_reader(engine: Engine) -> SqliteReader | None:
    """What reads an SQLite file past SQLAlchemy; None on PostgreSQL."""
    reader: SqliteReader | None = engine.get_execution_options().get(_READER)
    return reader


def is_sqlite(engine_or_connection: Engine | Connection) -> bool:
    return engine_or_connection.dialect.name == "sqlite"


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A connection to read with: one snapshot on SQLite, one per statement on PostgreSQL.

    Raises:
        Unavailable: the database does not answer, or all connections are in use.
    """
    waiting.announce()
    with _translating(), engine.connect() as conn:
        if is_sqlite(engine):
            with conn.begin():
                yield conn
        else:
            # READ COMMITTED shows every statement its own snapshot anyway: without BEGIN and
            # ROLLBACK a read is one round trip instead of three.
            yield conn.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits at the end of the block and rolls back on any exception.

    On SQLite it takes the write lock at once, so nothing read inside can be stale at commit.

    Raises:
        SerialisationFailure: lost a race; nothing was changed.  See `transact`.
        Unavailable: the database does not answer; nothing was changed.
        CommitStateUnknown: the answer to COMMIT was lost; the changes may or may not be there.
    """
    waiting.announce()
    with _translating(), _connection_to_write(engine) as conn:
        transaction = conn.begin()
        try:
            yield conn
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if _is_serialisation_failure(error) or not _is_disconnect(error):
                raise
            raise CommitStateUnknown(
                "the database did not answer to a commit; it may or may not have happened"
            ) from error


def _connection_to_write(engine: Engine) -> AbstractContextManager[Connection]:
    writer: SqliteWriter | None = engine.get_execution_options().get(_WRITER)
    return (
        engine.connect() if writer is None else writer.connection(lambda: _opened_to_write(engine))
    )


def transact(
    engine: Engine,
    act: Callable[Concatenate[Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """What `act` returns, called with a connection of `write` and these arguments.

    When it loses a race it is called again, in a new transaction, after a pause with jitter so
    that losers do not meet again: it must do nothing that a rollback does not take back.

    Raises:
        SerialisationFailure: it lost every race; nothing was changed.
        Unavailable: the database does not answer; nothing was changed.
        CommitStateUnknown: the answer to COMMIT was lost; the changes may or may not be there.
    """
    for pause_s in _RETRY_PAUSES_S:
        try:
            with write(engine) as conn:
                return act(conn, *args, **kwargs)
        except SerialisationFailure:
            time.sleep(pause_s * random.uniform(1, 2))  # noqa: S311
    with write(engine) as conn:
        return act(conn, *args, **kwargs)


def serialise_on(conn: Connection, subject: str) -> None:
    """Let one write transaction at a time pass here per subject, until it ends.

    For checks that no constraint can express.  SQLite has one writer anyway.
    """
    if not is_sqlite(conn):
        conn.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))"),
            {"subject": subject},
        )


def violates(error: IntegrityError, table: Table, *columns: str) -> bool:
    """True when the error is the unique constraint over exactly these columns."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        names = {f"{kind}_{table.name}_{'_'.join(columns)}" for kind in ("uq", "ix")}
        return diagnosis.constraint_name in names
    qualified = ", ".join(f"{table.name}.{column}" for column in columns)
    return str(error.orig) == f"UNIQUE constraint failed: {qualified}"


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("all database connections are in use; try again in a moment") from error
    except DBAPIError as error:
        if _is_serialisation_failure(error):
            raise SerialisationFailure(
                "another transaction came in between and nothing was changed; try again"
            ) from error
        if _is_disconnect(error):
            raise Unavailable("the database does not answer; nothing was changed") from error
        raise


def _is_serialisation_failure(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _POSTGRES_SERIALISATION_STATES
    # SQLITE_BUSY and SQLITE_LOCKED with their extended codes; the low byte is the primary code.
    code = getattr(error.orig, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in {5, 6}


def _is_disconnect(error: DBAPIError) -> bool:
    """The connection broke or could not be made; not a fault in our SQL."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:  # 08: connection, 53: resources, 57P: shutting down
        return str(state).startswith(("08", "53", "57P"))
    if not isinstance(error, OperationalError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    # SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN; psycopg has no state when it cannot connect.
    return not isinstance(code, int) or code & 0xFF in {10, 13, 14}
