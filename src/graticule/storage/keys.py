"""What a client signs with: a user's lasting access keys, or a session that ends."""

from dataclasses import dataclass

from graticule.domain.catalog import AccessKeys
from graticule.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """A session from the token service.  `expires_at_ms` is 0 when somebody else refreshes it."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at_ms: int


Keys = AccessKeys | TemporaryCredentials
