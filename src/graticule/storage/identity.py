"""Who the server is when it asks a token service.

Two identities, never mixed: an integration's own access keys, or the server's principal that roles
trust.  The machine's identity is only ever shown to AWS itself.
"""

import re
from collections.abc import Callable
from typing import Final

from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import NoTokenService, StorageRefused
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.clients import ambient_keys
from graticule.storage.keys import Keys
from graticule.storage.sts import TokenService

IDENTITY_TIMEOUT_S: Final = 5.0
_ASSUMED_ROLE: Final = re.compile(r"arn:([\w-]+):sts::(\d*):assumed-role/([^/]+)/.+")


class ServerIdentity:
    """The principal that customers' trust policies name.

    `principal_keys` are set by the operator.  Without them roles on AWS are assumed as whoever the
    machine says we are (environment, profile, instance role); stores elsewhere then have nobody to
    trust.
    """

    def __init__(
        self,
        principal_keys: Keys | None = None,
        *,
        ambient: Callable[[], Keys | None] | None = None,
        outbound: Outbound = PUBLIC_ONLY,
    ) -> None:
        self._outbound = outbound
        self._principal_keys = principal_keys
        self._ambient = ambient or ambient_keys()

    def arn(self, region: str, endpoint: str | None) -> str | None:
        """The principal as trust policies name it, asked of the token service; None without one.

        Raises:
            CatalogError: the token service refuses the keys, or does not answer.
        """
        keys = self._principal_keys
        if keys is None and endpoint is None:
            keys = self._ambient()
        if keys is None:
            return None
        service = TokenService(
            keys,
            region=region,
            endpoint=endpoint,
            read_timeout_s=IDENTITY_TIMEOUT_S,
            outbound=self._outbound,
        )
        return trusted_arn(service.caller_arn())

    def keys_for(self, integration: StorageIntegration) -> Keys:
        """The keys that sign requests to the integration's token service.

        Raises:
            StorageRefused: the operator gave the server no identity that fits.
            NoTokenService: the integration is anonymous.
        """
        if integration.access_keys is not None:
            return integration.access_keys
        if integration.role_arn is None:
            raise NoTokenService(
                f"`{integration.name}` is reached anonymously, so there is no credential for it"
            )
        if self._principal_keys is not None:
            return self._principal_keys
        if integration.endpoint is not None:
            raise StorageRefused(
                f"the server has no access keys of its own, so it cannot assume "
                f"`{integration.role_arn}` at `{integration.endpoint}`; the operator must set them"
            )
        keys = self._ambient()
        if keys is None:
            raise StorageRefused(
                f"the server has no AWS identity, so it cannot assume `{integration.role_arn}`; "
                "the operator must set access keys or run it under an instance role"
            )
        return keys


def trusted_arn(caller_arn: str) -> str:
    """What a trust policy names, from what a caller is told: of a role's session, the role.

    A session does not tell its role's path; a role that has one must be set by the operator.
    """
    match = _ASSUMED_ROLE.fullmatch(caller_arn)
    if match is None:
        return caller_arn
    partition, account, role = match.groups()
    return f"arn:{partition}:iam::{account}:role/{role}"
