"""Iceberg's REST fixture: the reference `RESTCatalogServer`, JdbcCatalog on SQLite, S3FileIO.

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
MAIN = "org.apache.iceberg.rest.RESTCatalogServer"


@contextmanager
def running(folder: Path, store: SeaweedFS) -> Iterator[Peer]:
    jar = fetched("fixture/iceberg-core-*[0-9].jar")
    [port] = free_ports(1)
    keys = store.admin_keys
    # Without a busy time-out SQLite refuses every second writer at once.
    database = f"jdbc:sqlite:{folder / 'fixture.db'}?busy_timeout=30000&journal_mode=WAL"
    environment = {
        "CATALOG_REST_PORT": str(port),
        "CATALOG_CATALOG__IMPL": "org.apache.iceberg.jdbc.JdbcCatalog",
        "CATALOG_URI": database,
        "CATALOG_WAREHOUSE": ROOT,
        "CATALOG_IO__IMPL": "org.apache.iceberg.aws.s3.S3FileIO",
        "CATALOG_S3_ENDPOINT": store.endpoint,
        "CATALOG_S3_PATH__STYLE__ACCESS": "true",
        "CATALOG_S3_ACCESS__KEY__ID": keys.access_key_id,
        "CATALOG_S3_SECRET__ACCESS__KEY": keys.secret_access_key.reveal(),
        "CATALOG_CLIENT_REGION": store.region,
    }
    command = [java(JAVA_AT_LEAST), MEMORY_MAX, "-cp", f"{jar.parent}/*", MAIN]
    program = Program(command, folder=folder, environment=environment)
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
