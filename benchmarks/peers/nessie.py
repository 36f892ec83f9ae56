"""Project Nessie: its Quarkus runner, versions in memory, tables on SeaweedFS, no authentication.

Nessie authenticates by OpenID Connect only, and an identity provider does not belong in here; being
asked for no token favours it.  Access logging is off, as it is for everybody.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from benchmarks.peers.java import MEMORY_MAX, fetched, java
from benchmarks.peers.peer import HOST, Peer, Program, free_ports
from benchmarks.peers.store import admin_client
from benchmarks.rest import Connection
from graticule.demo.seaweedfs import SeaweedFS

NAME = "Nessie"
JAVA_AT_LEAST = 21
ROOT = "s3://nessie"


@contextmanager
def running(folder: Path, store: SeaweedFS) -> Iterator[Peer]:
    jar = fetched("nessie/nessie-quarkus-*-runner.jar")
    port, management = free_ports(2)
    keys = store.admin_keys
    s3 = "nessie.catalog.service.s3.default-options"
    options = {
        "quarkus.http.host": HOST,
        "quarkus.http.port": port,
        "quarkus.http.access-log.enabled": "false",
        "quarkus.management.host": HOST,
        "quarkus.management.port": management,
        "quarkus.log.level": "WARN",
        "quarkus.otel.sdk.disabled": "true",
        "nessie.version.store.type": "IN_MEMORY",
        "nessie.catalog.default-warehouse": "warehouse",
        "nessie.catalog.warehouses.warehouse.location": ROOT,
        f"{s3}.region": store.region,
        f"{s3}.endpoint": store.endpoint,
        f"{s3}.path-style-access": "true",
        f"{s3}.access-key": "urn:nessie-secret:quarkus:benchmarks.store",
        "benchmarks.store.name": keys.access_key_id,
        "benchmarks.store.secret": keys.secret_access_key.reveal(),
    }
    settings = [f"-D{name}={value}" for name, value in options.items()]
    command = [java(JAVA_AT_LEAST), MEMORY_MAX, *settings, "-jar", str(jar)]
    program = Program(command, folder=folder, environment={})
    url = f"http://{HOST}:{port}/iceberg"
    try:
        program.wait_for(f"{url}/v1/config")
        with Connection(url, {}) as http:
            config = http.call("GET", "/v1/config?warehouse=warehouse")
        prefix = {**config["defaults"], **config["overrides"]}["prefix"]
        yield Peer(
            name=NAME,
            version=jar.name.removeprefix("nessie-quarkus-").removesuffix("-runner.jar"),
            base=f"{url}/v1/{quote(unquote(prefix), safe='')}",
            headers={},
            is_authenticated=False,
            root=ROOT,
            s3=admin_client(store),
            program=program,
        )
    finally:
        program.stop()
