"""What a commit cannot do without: a PUT of the document, and an answer that holds it.

A server on the HTTP stack and with the storage code of `graticule serve`, that does nothing else,
as a session of the same role.  What a commit takes longer than this is what the catalog costs.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import anyio.to_thread
import boto3
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.peer import HOST, Program, free_ports
from graticule.demo.seaweedfs import SeaweedFS
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.server import server_config
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.s3 import ObjectStore

BUCKET = "lake"
FOLDER = "bare"


@dataclass(frozen=True)
class Bare:
    """PUT gives it a document, and every POST writes that and answers with it."""

    url: str
    program: Program


@contextmanager
def running(folder: Path, store: SeaweedFS) -> Iterator[Bare]:
    [port] = free_ports(1)
    session = _session(store)
    program = Program(
        [sys.executable, "-m", "benchmarks.bare_commit"],
        folder=folder,
        environment={
            "PYTHONPATH": ":".join(path for path in (*sys.path, str(Path.cwd())) if path),
            "BARE_PORT": str(port),
            "BARE_ENDPOINT": store.endpoint,
            "BARE_REGION": store.region,
            "BARE_ACCESS_KEY_ID": session["AccessKeyId"],
            "BARE_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "BARE_SESSION_TOKEN": session["SessionToken"],
        },
    )
    try:
        program.wait_for(f"http://{HOST}:{port}/")
        yield Bare(f"http://{HOST}:{port}", program)
    finally:
        program.stop()


def _session(store: SeaweedFS) -> dict[str, str]:
    sts = boto3.client(
        "sts",
        endpoint_url=store.endpoint,
        region_name=store.region,
        aws_access_key_id=store.catalog_keys.access_key_id,
        aws_secret_access_key=store.catalog_keys.secret_access_key.reveal(),
    )
    made = sts.assume_role(RoleArn=store.role_arn, RoleSessionName="bare")
    return dict(made["Credentials"])


def main() -> None:
    environment = os.environ
    keys = TemporaryCredentials(
        environment["BARE_ACCESS_KEY_ID"],
        Secret(environment["BARE_SECRET_ACCESS_KEY"]),
        Secret(environment["BARE_SESSION_TOKEN"]),
        expires_at_ms=0,
    )
    folder = Location(BUCKET, FOLDER)
    store = ObjectStore(
        folder,
        region=environment["BARE_REGION"],
        endpoint=environment["BARE_ENDPOINT"],
        path_style=True,
        credentials=lambda: keys,
        outbound=ANYWHERE,
    )
    documents: dict[str, bytes] = {}

    def write(document: bytes) -> None:
        store.put(folder.join(str(uuid4())).uri, document)

    async def take(request: Request) -> Response:
        documents["current"] = await request.body()
        return Response(status_code=204)

    async def commit(_request: Request) -> Response:
        await anyio.to_thread.run_sync(write, documents["current"])
        return Response(documents["current"], media_type="application/json")

    app = Starlette(
        routes=[Route("/", commit, methods=["POST"]), Route("/", take, methods=["PUT"])]
    )
    uvicorn.Server(server_config(app, host=HOST, port=int(environment["BARE_PORT"]))).run()


if __name__ == "__main__":
    main()
