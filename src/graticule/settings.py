"""Everything an operator can set, from `GRATICULE_…` environment variables.  The one list of them.

Read once, at the edge; below, values arrive as constructor arguments.
"""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from graticule.access.keyring import Keyring, WrappedKey
from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import Unavailable
from graticule.domain.secret import Secret
from graticule.key_file import make_key_file, read_key_file
from graticule.outbound.policy import OutboundPolicy
from graticule.storage.keys import Keys, TemporaryCredentials

if TYPE_CHECKING:
    from graticule.storage.key_wrapping import KeyWrapping

KEY_FILE: Final = "secret.key"
DATABASE_FILE: Final = "graticule.db"

DEFAULT_WORKERS_MAX: Final = 4
"""Each takes some 150 MB; who has more cores and wants to use them all can say so."""

_DATABASE_URL: Final = re.compile(
    r"(?:postgres(?:ql)?(?:\+psycopg)?://|sqlite(?:\+pysqlite)?:///.)"
)


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "graticule"


class Settings(BaseSettings):
    """Field `data_dir` is the variable `GRATICULE_DATA_DIR`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix="GRATICULE_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    # Where things are
    data_dir: Annotated[
        Path,
        Field(
            default_factory=_default_data_dir,
            description="Folder of the SQLite database, of the key file, of copies of spatial "
            "indexes, and of the file by which processes take turns; made on first start",
        ),
    ]
    database_url: Annotated[
        str,
        Field(
            description="`postgresql://user:password@host/name`, or `sqlite:///file`; "
            "default: graticule.db in the data folder"
        ),
    ] = ""

    # How it is reached
    host: Annotated[str, Field(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 picks one")] = 8181
    public_url: Annotated[
        str | None,
        Field(
            description="URL under which clients reach this server, when a proxy stands in front; "
            "default: what each request says"
        ),
    ] = None

    # Secrets
    secret_keys: Annotated[
        SecretStr | None,
        Field(
            description="Keys that seal stored secrets and sign tokens: `name:base64 of 32 bytes`, "
            "or `name:kms:region:base64` for one wrapped by AWS KMS; several joined by commas, the "
            "newest first. Must be the same on all replicas. "
            "Default: the file secret.key in the data folder, made on first start"
        ),
    ] = None
    secret_keys_file: Annotated[
        Path | None,
        Field(description="A file that holds the same, such as a mounted secret; a key per line"),
    ] = None
    kms_endpoint: Annotated[
        str | None,
        Field(
            description="URL of the KMS that unwraps keys, when it is not AWS's public one: a VPC "
            "endpoint, for example"
        ),
    ] = None

    # Who may come in
    bootstrap_organisation: Annotated[
        str, Field(description="Name of the organisation that the first start makes")
    ] = "default"
    bootstrap_admin: Annotated[str, Field(description="Name of its first admin")] = "admin"
    bootstrap_password: Annotated[
        SecretStr | None,
        Field(
            description="Password of the first admin. Without it the first start prints a "
            "credential and a link to choose a password, once"
        ),
    ] = None
    insecure_http: Annotated[
        bool,
        Field(
            description="Let browsers sign in over plain HTTP on other hosts than localhost: "
            "whoever can listen can take the session over. For labs"
        ),
    ] = False
    insecure_no_auth: Annotated[
        bool,
        Field(
            description="Let in everybody from this machine as the first admin; needs a loopback "
            "address to listen on. `graticule serve --insecure-no-auth` is the same"
        ),
    ] = False

    # The server's own AWS identity, which assumes the roles of integrations
    sts_access_key_id: Annotated[
        str | None,
        Field(
            description="Access key id of the server's own AWS identity; "
            "default: what the environment, profile or instance role offers"
        ),
    ] = None
    sts_secret_access_key: Annotated[SecretStr | None, Field(description="Its secret")] = None
    sts_session_token: Annotated[
        SecretStr | None, Field(description="Its session token, when it is temporary")
    ] = None
    principal_arn: Annotated[
        str | None,
        Field(
            description="ARN of that identity, which generated trust policies name; "
            "default: what the token service says"
        ),
    ] = None
    role_tag: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_+=.:/@-]{1,128}$",
            description="Key of the tag that generated scripts put on roles; its value is the "
            "organisation's id",
        ),
    ] = "graticuleOrgID"
    allow_private_endpoints: Annotated[
        bool,
        Field(
            description="Let integrations use S3 endpoints on loopback and private addresses, "
            "and without TLS. Whoever may create integrations can then make this server connect "
            "there"
        ),
    ] = False
    allowed_endpoints: Annotated[
        str,
        Field(
            description="Narrower than that: networks (`10.2.0.0/16`) and host names "
            "(`minio.internal`), joined by commas, that integrations' endpoints may lead to"
        ),
    ] = ""

    # Lifetimes
    credential_lifetime_s: Annotated[
        int, Field(ge=900, le=43_200, description="Lifetime of vended credentials, in seconds")
    ] = 3600
    token_lifetime_s: Annotated[
        int, Field(ge=60, le=86_400, description="Lifetime of access tokens, in seconds")
    ] = 3600
    session_idle_s: Annotated[
        int,
        Field(
            ge=300,
            le=2_592_000,
            description="How long a browser stays signed in without being used, in seconds",
        ),
    ] = 43_200
    session_lifetime_s: Annotated[
        int,
        Field(ge=300, le=2_592_000, description="How long a browser stays signed in, in seconds"),
    ] = 604_800
    idempotency_key_lifetime_s: Annotated[
        int,
        Field(
            ge=60,
            le=86_400,
            description="How long a client may repeat a change under its Idempotency-Key, "
            "in seconds",
        ),
    ] = 1800

    verification_period_s: Annotated[
        int,
        Field(
            ge=0,
            le=31_536_000,
            description="How often every storage integration is verified again, in seconds; "
            "0 for only when somebody asks",
        ),
    ] = 86_400

    audit_retention_days: Annotated[
        int, Field(ge=1, le=36_500, description="How long the audit log keeps events, in days")
    ] = 400

    metrics_token: Annotated[
        SecretStr | None,
        Field(
            description="Bearer token that `/metrics` is shown to; default: to callers on this "
            "machine, when no proxy forwarded them"
        ),
    ] = None

    # Limits
    request_body_bytes_max: Annotated[
        int, Field(ge=1024, description="Longest request body that is read, in bytes")
    ] = 16 * 1024 * 1024
    workers: Annotated[
        int | None,
        Field(
            ge=1,
            le=64,
            description="Processes that serve requests; "
            f"default: one for each core, at most {DEFAULT_WORKERS_MAX}",
        ),
    ] = None
    threads: Annotated[
        int,
        Field(ge=1, le=512, description="Requests that are worked on at once, in each process"),
    ] = 16
    heavy_threads: Annotated[
        int, Field(ge=1, le=64, description="Scan plans that are worked on at once, besides those")
    ] = 2

    jobs: Annotated[
        bool,
        Field(
            description="Run jobs (scans, syncs, indexes) and read queues of events in processes "
            "of `graticule serve`; `off` where `graticule worker` does"
        ),
    ] = True
    job_threads: Annotated[
        int, Field(ge=1, le=64, description="Jobs that are worked on at once, in that process")
    ] = 2
    job_lease_s: Annotated[
        int,
        Field(
            ge=1,
            le=3600,
            description="After how long without a sign of life a job is taken over by another "
            "worker, in seconds",
        ),
    ] = 30

    scan_patience_s: Annotated[
        int,
        Field(
            ge=1,
            le=86400,
            description="How long a scan waits for a cluster without any sign of it before the "
            "server inspects the rest, in seconds",
        ),
    ] = 1800

    inspection_processes: Annotated[
        int, Field(ge=1, le=64, description="Processes that look into data files")
    ] = 2

    # Logs
    log_format: Annotated[
        Literal["console", "json"],
        Field(description="`console` for people, `json` for machines: one object a line"),
    ] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level to log")
    ] = "info"

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and not _DATABASE_URL.match(url):
            raise ValueError("must begin with postgresql:// or sqlite:///")
        return url

    @field_validator("allowed_endpoints")
    @classmethod
    def _readable_networks(cls, entries: str) -> str:
        OutboundPolicy.parse(entries)
        return entries

    @field_validator("secret_keys")
    @classmethod
    def _readable_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            Keyring.check_text(keys.get_secret_value())
        return keys

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _keys_in_pairs(self) -> Self:
        if (self.sts_access_key_id is None) != (self.sts_secret_access_key is None):
            raise ValueError("set both sts_access_key_id and sts_secret_access_key, or neither")
        if self.sts_session_token is not None and self.sts_access_key_id is None:
            raise ValueError("sts_session_token needs sts_access_key_id")
        if self.secret_keys is not None and self.secret_keys_file is not None:
            raise ValueError("set secret_keys or secret_keys_file, not both")
        return self

    @model_validator(mode="after")
    def _nobody_else_without_authentication(self) -> Self:
        if self.insecure_no_auth and not _is_loopback(self.host):
            raise ValueError(
                "insecure_no_auth lets everybody in as admin, so the server must listen on a "
                "loopback address such as 127.0.0.1"
            )
        return self

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / DATABASE_FILE}"

    @property
    def outbound_policy(self) -> OutboundPolicy:
        """Where user-supplied endpoints may lead."""
        return OutboundPolicy.parse(
            self.allowed_endpoints, allow_private=self.allow_private_endpoints
        )

    @property
    def resolved_workers(self) -> int:
        return self.workers or min(_cores(), DEFAULT_WORKERS_MAX)

    @property
    def sts_keys(self) -> Keys | None:
        """The server's own AWS identity, None to use what the environment offers."""
        if self.sts_access_key_id is None or self.sts_secret_access_key is None:
            return None
        secret = Secret(self.sts_secret_access_key.get_secret_value())
        if self.sts_session_token is None:
            return AccessKeys(self.sts_access_key_id, secret)
        return TemporaryCredentials(
            access_key_id=self.sts_access_key_id,
            secret_access_key=secret,
            session_token=Secret(self.sts_session_token.get_secret_value()),
            expires_at_ms=0,
        )

    def make_data_dir(self) -> Path:
        """The data folder, made readable for its owner only when it was not there."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.data_dir

    def keyring(self) -> Keyring:
        """The key ring from `secret_keys` or `secret_keys_file`, else from the key file.

        That one is made when missing.  Wrapped keys are unwrapped by KMS, each time.

        Raises:
            Unavailable: the file is damaged or cannot be read, or KMS does not unwrap a key.
        """
        if self.secret_keys is not None:
            return Keyring.parse(self.secret_keys.get_secret_value(), unwrap=self._unwrap)
        file = self.secret_keys_file or self.make_data_dir() / KEY_FILE
        if self.secret_keys_file is None and not file.exists():
            make_key_file(file)
        return read_key_file(file, unwrap=self._unwrap)

    def key_wrapping(self) -> "KeyWrapping":
        """KMS, as the server's own AWS identity.

        Raises:
            Unavailable: it has none.
        """
        # Not at the top: few have wrapped keys, and the parent of the workers needs no AWS client.
        from graticule.storage.clients import ambient_keys  # noqa: PLC0415
        from graticule.storage.key_wrapping import KeyWrapping  # noqa: PLC0415

        keys = self.sts_keys or ambient_keys()()
        if keys is None:
            raise Unavailable("wrapped keys need AWS KMS, and this server has no AWS identity")
        return KeyWrapping(keys, endpoint=self.kms_endpoint)

    def _unwrap(self, wrapped: WrappedKey) -> bytes:
        return self.key_wrapping().unwrap(wrapped)


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
