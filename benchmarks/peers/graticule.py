"""Graticule: `graticule serve` as it comes, SQLite, a role on SeaweedFS, authentication on."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from benchmarks.peers.peer import HOST, Peer, Program, free_ports
from benchmarks.peers.store import admin_client
from benchmarks.rest import Connection
from graticule.demo.seaweedfs import SeaweedFS

NAME = "Graticule"
CATALOG = "benchmarks"


def launch(
    folder: Path,
    store: SeaweedFS,
    *,
    workers: int | None = None,
    http_stack: str | None = None,
) -> tuple[Program, str]:
    """Start the server and wait until it is ready; its URL.  `http_stack` replaces its own."""
    [port] = free_ports(1)
    module = ["graticule"] if http_stack is None else ["benchmarks.http_stack", http_stack]
    command = [sys.executable, "-m", *module, "serve", "--port", str(port)]
    keys = store.catalog_keys
    root = str(Path(__file__).parents[2])
    program = Program(
        command,
        folder=folder,
        environment={
            "PYTHONPATH": ":".join(path for path in (*sys.path, root) if path),
            "PYTHONUNBUFFERED": "1",
            "GRATICULE_DATA_DIR": str(folder / "data"),
            "GRATICULE_STS_ACCESS_KEY_ID": keys.access_key_id,
            "GRATICULE_STS_SECRET_ACCESS_KEY": keys.secret_access_key.reveal(),
            "GRATICULE_ALLOW_PRIVATE_ENDPOINTS": "true",
            # As many processes as a user gets, but where the question is what one does.
            "GRATICULE_WORKERS": "" if workers is None else str(workers),
        },
    )
    url = f"http://{HOST}:{port}"
    program.wait_for(f"{url}/ready")
    return program, url


@contextmanager
def running(
    folder: Path,
    store: SeaweedFS,
    *,
    workers: int | None = None,
    http_stack: str | None = None,
) -> Iterator[Peer]:
    program, url = launch(folder, store, workers=workers, http_stack=http_stack)
    try:
        client_id, secret = _credential(program)
        key = {"Authorization": f"Bearer {client_id}.{secret}"}
        with Connection(url, key) as http:
            integration = {
                "name": "lake",
                "path": "s3://lake",
                "role_arn": store.role_arn,
                "endpoint": store.endpoint,
                "region": store.region,
                "path_style": True,
            }
            http.call("POST", "/api/v1/integrations", integration)
            wanted = {"name": CATALOG, "integration": "lake"}
            catalog = http.call("POST", "/api/v1/catalogs", wanted)
            # As engines do: the key once, from then on a token.
            grant = f"grant_type=client_credentials&client_id={client_id}&client_secret={secret}"
            token = http.call(
                "POST",
                "/catalog/v1/oauth/tokens",
                grant.encode(),
                **{"Content-Type": "application/x-www-form-urlencoded"},
            )["access_token"]
        yield Peer(
            name=NAME,
            version=metadata.version("graticule"),
            base=f"{url}/catalog/v1/{catalog['id']}",
            headers={"Authorization": f"Bearer {token}"},
            is_authenticated=True,
            root="s3://lake/tables",
            s3=admin_client(store),
            program=program,
            details={"url": url, "database": f"sqlite:///{folder / 'data' / 'graticule.db'}"},
        )
    finally:
        program.stop()


def _credential(program: Program) -> tuple[str, str]:
    found = re.search(r"GRATICULE_CREDENTIAL=(\S+):(\S+)", program.log.read_text())
    if found is None:
        raise RuntimeError("the server did not show the first admin's credential")
    return found[1], found[2]
