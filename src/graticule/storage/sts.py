"""Asks the token service for sessions that can do less than whoever asks.

A call here is the only way to a temporary credential.  Nothing is cached: see `services`.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from graticule.domain.errors import (
    NoSuchFile,
    NoTokenService,
    PolicyTooLarge,
    SessionTooLong,
    StorageRefused,
)
from graticule.domain.secret import Secret
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.aws_errors import translated
from graticule.storage.clients import ATTEMPTS_MAX, READ_TIMEOUT_S, sts_client
from graticule.storage.iam_policy import Json, encode_policy
from graticule.storage.keys import Keys, TemporaryCredentials

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient
    from mypy_boto3_sts.type_defs import CredentialsTypeDef

ROLE_SESSION_NAME_CHARACTERS_MAX: Final = 64
FEDERATED_NAME_CHARACTERS_MAX: Final = 32
IDENTIFIER_CHARACTERS: Final = 12
RANDOM_CHARACTERS: Final = 10

NOT_SERVED_CODES: Final = frozenset(
    {"405", "501", "InvalidAction", "MethodNotAllowed", "NotImplemented", "UnsupportedOperation"}
)
"""What stores answer that have no token service, or lack the operation."""

TOO_LARGE_CODES: Final = frozenset({"PackedPolicyTooLarge", "PackedPolicyTooLargeException"})
"""The limit on policy and tags together, in a packed form that only the token service knows."""

_TOO_LONG: Final = re.compile(r"duration.?seconds.*(?:exceeds|less than or equal)", re.IGNORECASE)
"""Both of a role with a shorter maximum and of one that is assumed by a role (one hour)."""

_ILLEGAL_IN_NAME: Final = re.compile(r"[^A-Za-z0-9_=,.@-]+")


class TokenService:
    """The token service that knows an integration's identities, reached as `keys`."""

    def __init__(
        self,
        keys: Keys,
        *,
        region: str,
        endpoint: str | None,
        read_timeout_s: float = READ_TIMEOUT_S,
        attempts_max: int = ATTEMPTS_MAX,
        outbound: Outbound = PUBLIC_ONLY,
    ) -> None:
        self._is_aws = endpoint is None
        self._client: STSClient = sts_client(
            keys,
            region=region,
            endpoint=endpoint,
            read_timeout_s=read_timeout_s,
            attempts_max=attempts_max,
            outbound=outbound,
        )

    def caller_arn(self) -> str:
        """Who we are: the ARN behind the keys."""
        with translated("asking the token service who we are at", self._at):
            return self._client.get_caller_identity()["Arn"]

    def assume_role(
        self,
        role_arn: str,
        *,
        session_name: str,
        external_id: str | None,
        policy: Json | None,
        duration_s: int,
    ) -> TemporaryCredentials:
        """A session of the role, narrowed by `policy`; the whole role without one.

        Raises:
            NoTokenService: the store has no token service.
            PolicyTooLarge: the policy is beyond what one session can be limited to.
            SessionTooLong: the role allows only shorter sessions.
            StorageRefused: the role does not trust us, the policy does not fit, and the like.
        """
        request: dict[str, Any] = {
            "RoleArn": role_arn,
            "RoleSessionName": session_name,
            "DurationSeconds": duration_s,
        }
        if external_id is not None:
            request["ExternalId"] = external_id
        if policy is not None:
            request["Policy"] = encode_policy(policy)
        with self._served(), translated("assuming role", role_arn):
            answer = self._client.assume_role(**request)
            return _temporary(answer["Credentials"])

    def get_federation_token(
        self, *, name: str, policy: Json, duration_s: int
    ) -> TemporaryCredentials:
        """A session of the user whose lasting keys we hold, narrowed by `policy`."""
        with self._served(), translated("narrowing the access keys at", self._at):
            answer = self._client.get_federation_token(
                Name=name, Policy=encode_policy(policy), DurationSeconds=duration_s
            )
            return _temporary(answer["Credentials"])

    def narrow(
        self,
        *,
        role_arn: str | None,
        external_id: str,
        policy: Json,
        actor: tuple[str, str],
        duration_s: int,
    ) -> TemporaryCredentials:
        """A session limited to `policy`: of the role, or of our own keys where there is no role.

        `actor` is the name and the id of whoever will use it.
        """
        if role_arn is None:
            return self.get_federation_token(
                name=session_name(*actor, characters_max=FEDERATED_NAME_CHARACTERS_MAX),
                policy=policy,
                duration_s=duration_s,
            )
        return self.assume_role(
            role_arn,
            session_name=session_name(*actor),
            external_id=external_id,
            policy=policy,
            duration_s=duration_s,
        )

    @contextmanager
    def _served(self) -> Iterator[None]:
        """Tell apart the refusals that somebody can act on.  AWS always has a token service."""
        try:
            yield
        except (StorageRefused, NoSuchFile) as error:
            code = "404" if isinstance(error, NoSuchFile) else error.context.get("code")
            if code in TOO_LARGE_CODES:
                raise PolicyTooLarge(error.message, **error.context) from error
            if _TOO_LONG.search(error.message):
                raise SessionTooLong(
                    f"{error.message}; set the lifetime of vended credentials "
                    "(`GRATICULE_CREDENTIAL_LIFETIME_S`) to 3600 or less",
                    **error.context,
                ) from error
            if self._is_aws or code not in {*NOT_SERVED_CODES, "404"}:
                raise
            raise NoTokenService(
                f"the store at `{self._at}` issues no temporary credentials ({code})"
            ) from error

    @property
    def _at(self) -> str:
        return self._client.meta.endpoint_url


def session_name(
    name: str, identifier: str, *, characters_max: int = ROLE_SESSION_NAME_CHARACTERS_MAX
) -> str:
    """`name`, the end of `identifier` and something random, within the rules of AWS.

    The owner of the bucket finds it in the access log.  The random end is a guard: a bucket policy
    that names a session's ARN opens the bucket to it whatever its session policy says, so nobody
    may know the name beforehand.
    """
    end = _legal(identifier)[-IDENTIFIER_CHARACTERS:]
    tail = f"{end}-{secrets.token_hex(RANDOM_CHARACTERS // 2)}"
    head = _legal(name)[: characters_max - len(tail) - 1]
    return f"{head}-{tail}" if head else tail


def _legal(text: str) -> str:
    return _ILLEGAL_IN_NAME.sub("-", text).strip("-")


def _temporary(credentials: "CredentialsTypeDef") -> TemporaryCredentials:
    return TemporaryCredentials(
        access_key_id=credentials["AccessKeyId"],
        secret_access_key=Secret(credentials["SecretAccessKey"]),
        session_token=Secret(credentials["SessionToken"]),
        expires_at_ms=int(credentials["Expiration"].timestamp() * 1000),
    )
