"""What lets a client have requests signed for a table that is staged and recorded nowhere yet.

Pure.  The token pins the location that this server gave to this member for this name; whoever
shows it is authenticated and authorised anew at every request.
"""

from dataclasses import dataclass
from typing import Any, Final

import jwt

from graticule.domain.errors import CatalogError, Forbidden, InvalidLocation
from graticule.domain.location import Location

LIFETIME_S: Final = 12 * 3600
"""As long as a job that creates a table from a query may take to write it."""

_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "graticule staged table"


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table between its staged create and its first commit."""

    catalog_id: str
    identifier: str
    member_id: str
    location: Location


class StageTokens:
    """Issues and reads the tokens with a key that all replicas share."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, staged: StagedTable, *, now_ms: int) -> str:
        claims = {
            "aud": _AUDIENCE,
            "catalog": staged.catalog_id,
            "table": staged.identifier,
            "sub": staged.member_id,
            "location": staged.location.uri,
            "exp": now_ms // 1000 + LIFETIME_S,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def location_of(
        self, token: str, *, catalog_id: str, identifier: str, member_id: str, now_ms: int
    ) -> Location:
        """Where the staged table lies.

        Raises:
            Forbidden: expired, not of this server, or for another catalog, table or member.
        """
        # The caller's clock decides, not the library's.
        options: Any = {"verify_exp": False, "require": ["exp", "sub", "aud"]}
        try:
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], audience=_AUDIENCE, options=options
            )
            location = Location.parse(str(claims["location"]))
            expires_at_ms = int(claims["exp"]) * 1000
            of = (claims["catalog"], claims["table"], claims["sub"])
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, InvalidLocation) as error:
            raise _refused("is not one of this server") from error
        if of != (catalog_id, identifier, member_id):
            raise _refused("is for another catalog, table or member")
        if expires_at_ms <= now_ms:
            raise _refused("has expired; stage the table again")
        return location


def _refused(why: str) -> CatalogError:
    return Forbidden(f"the token of the staged table {why}")
