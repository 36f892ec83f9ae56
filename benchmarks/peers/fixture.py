"""Iceberg's REST fixture: the reference adapter and servlet, JdbcCatalog on SQLite, S3FileIO.

It knows no authentication, which favours it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.java import MEMORY_MAX, fetched, java
from benchmarks.peers.peer import HOST, Peer, Program, free_ports
from benchmarks.peers.store import admin_client
from graticule.demo.seaweedfs import SeaweedFS

NAME = "Iceberg fixture"
JAVA_AT_LEAST = 17
ROOT = "s3://fixture"
LAUNCHER = Path(__file__).with_name("Fixture.java")


@contextmanager
def running(folder: Path, store: SeaweedFS) -> Iterator[Peer]:
    jar = fetched("fixture/iceberg-core-*[0-9].jar")
    [port] = free_ports(1)
    keys = store.admin_keys
    # Without a busy time-out SQLite refuses every second writer at once.
    database = f"jdbc:sqlite:{folder / 'fixture.db'}?busy_timeout=30000&journal_mode=WAL"
    properties = {
        "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "uri": database,
        "warehouse": ROOT,
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.endpoint": store.endpoint,
        "s3.path-style-access": "true",
        "s3.access-key-id": keys.access_key_id,
        "s3.secret-access-key": keys.secret_access_key.reveal(),
        "client.region": store.region,
    }
    command = [java(JAVA_AT_LEAST), MEMORY_MAX, "-cp", f"{jar.parent}/*", str(LAUNCHER), str(port)]
    command += [f"{name}={value}" for name, value in properties.items()]
    program = Program(command, folder=folder, environment={})
    url = f"http://{HOST}:{port}"
    try:
        program.wait_for(f"{url}/v1/config")
        yield Peer(
            name=NAME,
            version=jar.name.removeprefix("iceberg-core-").removesuffix(".jar"),
            base=f"{url}/v1",
            headers={},
            is_authenticated=False,
            root=ROOT,
            s3=admin_client(store),
            program=program,
        )
    finally:
        program.stop()
