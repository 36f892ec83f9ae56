"""A throwaway PostgreSQL cluster on the loopback interface, made with `initdb` and thrown away.

Durability is switched off: nothing in it is meant to survive.  PostgreSQL refuses to run as root,
so there the cluster belongs to the user `postgres`, whom the Debian package makes.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy

from support.engines import require

SERVER_USER = "postgres"
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Postgres:
    """A running cluster."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://{SERVER_USER}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """The URL of a copy of `template`, by default empty; dropped at the end."""
        name = f"t_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        engine = sqlalchemy.create_engine(
            self.url("postgres").replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT"
        )
        try:
            with engine.connect() as conn:
                conn.exec_driver_sql(statement)
        finally:
            engine.dispose()


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest if several are installed."""
    found = shutil.which("initdb")
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(4)
    )
    candidates = [*installed, *([Path(found)] if found else [])]
    return candidates[-1].parent if candidates else None


def _server_user_exists() -> bool:
    try:
        pwd.getpwnam(SERVER_USER)
    except KeyError:
        return False
    return True


def _run(*command: object) -> None:
    as_user = ["runuser", "-u", SERVER_USER, "--"] if os.geteuid() == 0 else []
    # pg_ctl leaves the server with its own output; a pipe would never see its end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [*as_user, *map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            check=False,
        )
        if done.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed: {output.read().decode(errors='replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster() -> Iterator[Postgres]:
    """A new cluster, running until the block ends."""
    binaries = programs()
    require(binaries, "PostgreSQL's server is not installed (apt install postgresql)")
    assert binaries is not None
    if os.geteuid() == 0:
        can_step_down = shutil.which("runuser") and _server_user_exists()
        require(can_step_down, f"as root, PostgreSQL needs `runuser` and a user `{SERVER_USER}`")
    home = Path(tempfile.mkdtemp(prefix="graticule-pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, SERVER_USER)
        data, port = home / "data", _free_port()
        _run(binaries / "initdb", "-D", data, "-U", SERVER_USER, "-A", "trust", "--no-sync")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": home,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        settings = "".join(f"{name} = '{value}'\n" for name, value in options.items())
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(settings)
        start = ("-D", data, "-l", home / "log", "-w", "-t", START_TIMEOUT_S, "start")
        _run(binaries / "pg_ctl", *start)
        try:
            yield Postgres(port)
        finally:
            _run(binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One cluster for the whole run; each test takes a database of its own."""
    with cluster() as running:
        yield running
