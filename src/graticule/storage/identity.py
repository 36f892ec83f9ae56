"""Who the server is when it asks a token service.

Two identities, never mixed: an integration's own access keys, or the server's principal that roles
trust.  The machine's identity is only ever shown to AWS itself.
"""

from collections.abc import Callable

from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import NoTokenService, StorageRefused
from graticule.storage.clients import ambient_keys
from graticule.storage.keys import Keys


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
    ) -> None:
        self._principal_keys = principal_keys
        self._ambient = ambient or ambient_keys()

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
