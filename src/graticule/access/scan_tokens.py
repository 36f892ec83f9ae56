"""What lets a cluster work for one scan.  Pure.

The token is for the machines that inspect files of a scan, which have no business with anything
else its member may do.  It says for whom; that the scan still runs and the member may still scan
is asked at every request.
"""

from dataclasses import dataclass
from typing import Any, Final

import jwt

from graticule.domain.errors import Unauthenticated
from graticule.domain.secret import Secret

LIFETIME_S: Final = 24 * 3600
"""As long as a cluster may take; it ends with the scan in any case."""

_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "graticule scan"


@dataclass(frozen=True, slots=True)
class ScanPass:
    """A scan, and the member that it is worked on for."""

    organisation_id: str
    catalog_id: str
    scan_id: str
    member_id: str


class ScanTokens:
    """Issues and reads the tokens with a key that all replicas share."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, for_: ScanPass, *, now_ms: int) -> Secret:
        claims = {
            "aud": _AUDIENCE,
            "organisation": for_.organisation_id,
            "catalog": for_.catalog_id,
            "scan": for_.scan_id,
            "sub": for_.member_id,
            "exp": now_ms // 1000 + LIFETIME_S,
        }
        return Secret(jwt.encode(claims, self._key, algorithm=_ALGORITHM))

    def read(self, token: str, *, now_ms: int) -> ScanPass:
        """Whom the token is for.

        Raises:
            Unauthenticated: none of this server, or expired.
        """
        # The caller's clock decides, not the library's.
        options: Any = {"verify_exp": False, "require": ["exp", "sub", "aud"]}
        try:
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], audience=_AUDIENCE, options=options
            )
            read = ScanPass(
                *(str(claims[name]) for name in ("organisation", "catalog", "scan", "sub"))
            )
            expires_at_ms = int(claims["exp"]) * 1000
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError) as error:
            raise Unauthenticated("this is no token of a scan") from error
        if expires_at_ms <= now_ms:
            raise Unauthenticated("the token of the scan has expired; ask for another one")
        return read
