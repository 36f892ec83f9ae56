"""Builds the AWS clients.  Nothing but what is passed decides where they connect and as whom.

Why so guarded: endpoints come from users.  A client must not fall back to the server's own
identity, read its profile, or follow a redirect to a host that nobody checked.
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

from graticule.domain.catalog import AccessKeys
from graticule.domain.secret import Secret
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.guarded_session import GuardedSession
from graticule.storage.keys import Keys, TemporaryCredentials

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 30.0
ATTEMPTS_MAX: Final = 3
POOL_CONNECTIONS: Final = 32

_DEFAULT_REGION: Final = "us-east-1"
_NOTHING_AMBIENT: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": ("ca_bundle", "AWS_CA_BUNDLE", None, None),
}
_building = threading.Lock()  # a botocore session is not safe to build clients from in parallel


def s3_client(
    keys: Keys | None,
    *,
    region: str,
    endpoint: str | None,
    path_style: bool,
    read_timeout_s: float = READ_TIMEOUT_S,
    attempts_max: int = ATTEMPTS_MAX,
    requester_pays: bool = False,
    outbound: Outbound = PUBLIC_ONLY,
) -> "S3Client":
    """An S3 client that acts as `keys`, or as nobody when there are none.

    With `requester_pays` it agrees, in every request, that we are charged for it.
    `outbound` decides where an `endpoint` may lead; AWS itself is reached as the operator's network
    has it.
    """
    config = _config(endpoint, read_timeout_s=read_timeout_s, attempts_max=attempts_max).merge(
        Config(
            signature_version=UNSIGNED if keys is None else "s3v4",
            s3={"addressing_style": "path" if path_style else "virtual"},
            # Older stores answer unknown checksum headers with an error.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
    )
    with _building:
        client = _session().client(
            "s3", region_name=region, endpoint_url=endpoint, config=config, **_identity(keys)
        )
    client.meta.events.register_last("before-parameter-build.s3", _mark_as_redirected)
    if requester_pays:
        client.meta.events.register("before-call.s3", _agree_to_pay)
    if endpoint is not None:
        _guard(client, outbound, read_timeout_s=read_timeout_s)
    return client


def sts_client(
    keys: Keys,
    *,
    region: str,
    endpoint: str | None,
    read_timeout_s: float = READ_TIMEOUT_S,
    attempts_max: int = ATTEMPTS_MAX,
    outbound: Outbound = PUBLIC_ONLY,
) -> "STSClient":
    """A client of the token service: the region's own on AWS, else the store's endpoint."""
    config = _config(endpoint, read_timeout_s=read_timeout_s, attempts_max=attempts_max)
    with _building:
        client = _session().client(
            "sts", region_name=region, endpoint_url=endpoint, config=config, **_identity(keys)
        )
    if endpoint is not None:
        _guard(client, outbound, read_timeout_s=read_timeout_s)
    return client


def sqs_client(
    keys: Keys,
    *,
    region: str,
    endpoint: str | None,
    read_timeout_s: float,
    outbound: Outbound = PUBLIC_ONLY,
) -> Any:
    """A client of the queue service: the region's own on AWS, else the store's endpoint.

    It connects there and not to the host of a queue's URL.
    """
    config = _config(endpoint, read_timeout_s=read_timeout_s, attempts_max=1)
    with _building:
        client = _session().client(
            "sqs", region_name=region, endpoint_url=endpoint, config=config, **_identity(keys)
        )
    if endpoint is not None:
        _guard(client, outbound, read_timeout_s=read_timeout_s)
    return client


def kms_client(keys: Keys, *, region: str, endpoint: str | None) -> Any:
    """A client of the key management service; its endpoint is the operator's, not a user's."""
    config = _config(endpoint, read_timeout_s=READ_TIMEOUT_S, attempts_max=ATTEMPTS_MAX)
    with _building:
        return _session().client(
            "kms", region_name=region, endpoint_url=endpoint, config=config, **_identity(keys)
        )


def ambient_keys() -> Callable[[], Keys | None]:
    """The identity that the machine lends to this process: environment, profile or instance role.

    Only AssumeRole on AWS itself may use it, and only when the operator set no explicit keys.
    """
    session = botocore.session.Session()
    found: list[Any] = []
    looking = threading.Lock()

    def keys() -> Keys | None:
        with looking:
            if not found:
                credentials = session.get_credentials()
                if credentials is None:
                    return None
                found.append(credentials)
        frozen = found[0].get_frozen_credentials()
        if frozen.token is None:
            return AccessKeys(frozen.access_key, Secret(frozen.secret_key))
        # botocore refreshes these by itself; ask again for every client.
        return TemporaryCredentials(
            access_key_id=frozen.access_key,
            secret_access_key=Secret(frozen.secret_key),
            session_token=Secret(frozen.token),
            expires_at_ms=0,
        )

    return keys


@cache
def _session() -> boto3.session.Session:
    core = botocore.session.Session(session_vars=_NOTHING_AMBIENT)
    return boto3.session.Session(botocore_session=core, region_name=_DEFAULT_REGION)


def _config(endpoint: str | None, *, read_timeout_s: float, attempts_max: int) -> Config:
    options: dict[str, Any] = {"ignore_configured_endpoint_urls": True}  # the stubs lack this one
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts_max},
        max_pool_connections=POOL_CONNECTIONS,
        # The proxy of the environment is for the way to AWS, not to a store next door.
        proxies=None if endpoint is None else {},
        user_agent_extra="graticule",
        **options,
    )


def _identity(keys: Keys | None) -> dict[str, Any]:
    match keys:
        case None:
            return {}
        case AccessKeys(access_key_id, secret):
            return {
                "aws_access_key_id": access_key_id,
                "aws_secret_access_key": secret.reveal(),
            }
        case TemporaryCredentials():
            return {
                "aws_access_key_id": keys.access_key_id,
                "aws_secret_access_key": keys.secret_access_key.reveal(),
                "aws_session_token": keys.session_token.reveal(),
            }


def _guard(client: "BaseClient", outbound: Outbound, *, read_timeout_s: float) -> None:
    """Let all requests of `client` go through a session that keeps to `outbound`."""
    session = GuardedSession(
        outbound,
        verify=_session()._session.get_config_variable("ca_bundle")  # noqa: SLF001 - no public way
        or os.environ.get("REQUESTS_CA_BUNDLE")
        or True,
        timeout=(CONNECT_TIMEOUT_S, read_timeout_s),
        max_pool_connections=POOL_CONNECTIONS,
    )

    def send(request: AWSPreparedRequest, **_: object) -> Any:
        return session.send(request)

    client.meta.events.register("before-send", send)


def _agree_to_pay(params: dict[str, Any], **_: object) -> None:
    params["headers"]["x-amz-request-payer"] = "requester"


def _mark_as_redirected(context: dict[str, Any], **_: object) -> None:
    # botocore's region redirector follows what the answer names, but only once per request.
    context["s3_redirect"] = {**context.get("s3_redirect", {}), "redirected": True}
