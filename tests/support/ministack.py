"""The IAM double for tests: the only one at hand that obeys external ids in trust policies.

It pins another botocore and therefore lives in an environment of its own, `.venv-iam`.
"""

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from graticule.demo.tether import Tethered
from graticule.domain.catalog import AccessKeys, AccessLevel
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.storage.iam_policy import role_policy
from support.engines import require

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-iam" / "bin" / "python"
ACCOUNT = "000000000000"
REGION = "us-east-1"
ROOT_KEYS = AccessKeys("test", Secret("test"))
START_TIMEOUT_S = 60.0
BUCKET = "lake"
OTHER_BUCKET = "elsewhere"


@dataclass(frozen=True, slots=True)
class MiniStack:
    """A running double.  `catalog_keys` are of a user that may assume roles and nothing else."""

    endpoint: str
    region: str
    catalog_arn: str
    catalog_keys: AccessKeys
    stranger_keys: AccessKeys
    key_user_keys: AccessKeys

    def client(self, service: str) -> Any:
        """A client of the account's root, whom no policy binds."""
        return _root_client(service, self.endpoint)

    def create_role(self, name: str, *, trust: dict[str, Any], policy: dict[str, Any]) -> str:
        """Create a role from the two documents exactly as an admin would paste them; its ARN."""
        iam = self.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=name, PolicyName="Lake", PolicyDocument=json.dumps(policy))
        return str(role["Role"]["Arn"])


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    """The double with a bucket `lake`, the catalog's user, a stranger and a user with S3 rights."""
    require(PYTHON.is_file(), "needs MiniStack; get it with `make .venv-iam/.ready`")
    folder = tmp_path_factory.mktemp("ministack")
    port = _free_port()
    process = _launch(folder, port)
    try:
        _wait_until_ready(process, port, folder / "out.log")
        yield _furnish(f"http://127.0.0.1:{port}")
    finally:
        process.stop()


def _launch(folder: Path, port: int) -> Tethered:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": ROOT_KEYS.access_key_id,
        "AWS_SECRET_ACCESS_KEY": ROOT_KEYS.secret_access_key.reveal(),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3,sqs,sts,iam,kms",
        "IOT_MTLS_ENABLED": "false",
        "SFTP_ENABLED": "false",
        "STATE_DIR": str(folder / "state"),
        "LOG_LEVEL": "WARNING",
    }
    return Tethered(
        [str(PYTHON), "-m", "ministack"],
        folder=folder,
        environment=environment,
        log=folder / "out.log",
    )


def _wait_until_ready(process: Tethered, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(port):
        if process.has_ended() or time.monotonic() > deadline:
            pytest.fail(f"MiniStack did not start:\n{log.read_text()[-2000:]}", pytrace=False)
        time.sleep(0.05)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _root_client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT_KEYS.access_key_id,
        aws_secret_access_key=ROOT_KEYS.secret_access_key.reveal(),
    )


def _furnish(endpoint: str) -> MiniStack:
    for bucket in (BUCKET, OTHER_BUCKET):
        _root_client("s3", endpoint).create_bucket(Bucket=bucket)
    iam = _root_client("iam", endpoint)
    lake = role_policy(Location(BUCKET, ""), AccessLevel.WRITE)["Statement"]
    assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    federate = {"Effect": "Allow", "Action": "sts:GetFederationToken", "Resource": "*"}

    def user(name: str, *statements: dict[str, Any]) -> AccessKeys:
        iam.create_user(UserName=name)
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName=name, PolicyName="Own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return AccessKeys(key["AccessKeyId"], Secret(key["SecretAccessKey"]))

    return MiniStack(
        endpoint=endpoint,
        region=REGION,
        catalog_arn=f"arn:aws:iam::{ACCOUNT}:user/catalog",
        catalog_keys=user("catalog", assume),
        stranger_keys=user("stranger", assume),
        key_user_keys=user("keyuser", *lake, federate),
    )
