"""The properties that tell an Iceberg client's file IO where a store is and how to get in.

Every generation of clients reads names of its own; what is here is the union that all of them bear.
"""

import re
from collections.abc import Mapping
from typing import Final

from graticule.domain.catalog import AccessKeys, AccessLevel, StorageCredential, StorageIntegration

PYICEBERG_SIGNING_IO: Final = "pyiceberg.io.fsspec.FsspecFileIO"
"""The only file IO of PyIceberg that can have its requests signed."""

JAVA_ANONYMOUS: Final = "software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider"

STATIC_MARK: Final = "graticule.static-credentials"
"""Says, in every answer that holds them, that these keys are neither narrow nor temporary."""

_ENDPOINT: Final = frozenset({"s3.endpoint", "s3.path-style-access"})
_KNOWS_ITS_ENDPOINT: Final = re.compile(r"clickhouse/", re.IGNORECASE)
"""ClickHouse joins an endpoint that it is told with a table's location to a path that is not there
(ClickHouse/ClickHouse#93283), and then reads nothing.  Its own setting `storage_endpoint` does."""


def place_config(integration: StorageIntegration) -> dict[str, str]:
    """Where the integration's store is, for clients that bring their own credentials."""
    config = {"client.region": integration.region, "s3.region": integration.region}
    if integration.endpoint is not None:
        config["s3.endpoint"] = integration.endpoint
        config["s3.path-style-access"] = "true" if integration.path_style else "false"
    return config


def session_config(
    integration: StorageIntegration,
    credential: StorageCredential,
    *,
    refresh_endpoint: str | None,
) -> dict[str, str]:
    """The properties an Iceberg client needs to use `credential`.

    For `config` and for `storage-credentials` alike: old clients read only the first.  The region
    is always there, or PyIceberg asks the network for it.
    """
    config = place_config(integration) | {
        "s3.access-key-id": credential.access_key_id,
        "s3.secret-access-key": credential.secret_access_key.reveal(),
        "s3.session-token": credential.session_token.reveal(),
        "s3.session-token-expires-at-ms": str(credential.expires_at_ms),
    }
    if integration.kms_key_arn is not None and credential.access is AccessLevel.WRITE:
        config |= {
            "s3.sse.type": "kms",
            "s3.sse.key": integration.kms_key_arn,
            "s3.server-side-encryption": "aws:kms",
            "s3.sse-kms-key-id": integration.kms_key_arn,
        }
    if refresh_endpoint is not None:
        config["client.refresh-credentials-endpoint"] = refresh_endpoint
        # Java's file IO also refreshes what it hands to executors, and looks only for this name.
        config["credentials.uri"] = refresh_endpoint
    return config


def static_config(integration: StorageIntegration, keys: AccessKeys) -> dict[str, str]:
    """The integration's own keys.  There is nothing to refresh."""
    return place_config(integration) | {
        "s3.access-key-id": keys.access_key_id,
        "s3.secret-access-key": keys.secret_access_key.reveal(),
        STATIC_MARK: "true",
    }


def anonymous_config(integration: StorageIntegration) -> dict[str, str]:
    """No credentials, and none from the client's surroundings either."""
    return place_config(integration) | {
        "s3.anonymous": "true",
        "client.credentials-provider": JAVA_ANONYMOUS,
    }


def signing_config(
    integration: StorageIntegration, endpoint: str, *, table_id: str, base_url: str | None
) -> dict[str, str]:
    """Have every request signed at `endpoint`, which is always the table's.

    The session token is none: PyIceberg shares one S3 file system, and with it the signer of the
    table opened last, between all tables whose properties are the same.
    """
    config = place_config(integration) | {
        "s3.remote-signing-enabled": "true",
        "s3.signer": "S3V4RestSigner",
        "s3.signer.endpoint": endpoint,
        "signer.endpoint": endpoint,
        "py-io-impl": PYICEBERG_SIGNING_IO,
        "s3.session-token": f"none-{table_id}",
    }
    if base_url is not None:
        config |= {"s3.signer.uri": base_url, "signer.uri": base_url}
    return config


def bearable(config: Mapping[str, str], *, user_agent: str | None) -> dict[str, str]:
    """The properties without those that the client is known to fail on."""
    if user_agent is None or _KNOWS_ITS_ENDPOINT.match(user_agent) is None:
        return dict(config)
    return {name: value for name, value in config.items() if name not in _ENDPOINT}
