"""Care for what is sealed in the database: the right keys at the start, and the newest in the end.

Transactions live here.  There is no principal: this is for whoever runs the server.
"""

from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.access.keyring import Keyring
from graticule.db import sealed_secrets as sealed_db
from graticule.db.engine import read, transact
from graticule.domain.errors import Unavailable

log = structlog.get_logger(__name__)

SECRETS_PER_TRANSACTION: Final = 100


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was sealed anew, under which key; `unopened` could not be, and stayed as it was."""

    key_name: str
    resealed: int
    unopened: int


class SealedSecrets:
    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self._engine = engine
        self._keyring = keyring

    def check(self) -> None:
        """Make sure that what is stored can be opened, before anything is served.

        Of every key that has sealed something, one secret is tried.

        Raises:
            Unavailable: keys are missing, or are others of the same name; the message names them.
        """
        with read(self._engine) as conn:
            counts = sealed_db.count_by_key(conn)
            known = {name for name, _ in self._keyring.keys}
            missing = {name: count for name, count in counts.items() if name not in known}
            samples = [sealed_db.sample(conn, name) for name in sorted(counts.keys() & known)]
        if missing:
            named = ", ".join(f"`{name}` ({count})" for name, count in sorted(missing.items()))
            raise Unavailable(
                f"stored secrets were sealed with keys that this server does not have: {named}. "
                "Add them to GRATICULE_SECRET_KEYS, GRATICULE_SECRET_KEYS_FILE or the key file, "
                "behind the newest"
            )
        for secret in samples:
            if secret is not None:
                place = secret.column.place_of(secret.row_id)
                self._keyring.open(secret.sealed, bound_to=place)

    def rotate(self) -> Rotation:
        """Seal everything under the newest key.  May be stopped, and begun again, at any time.

        A secret that does not open is left as it is and counted.
        """
        newest = self._keyring.keys[0][0]
        resealed = unopened = 0
        for column in sealed_db.SEALED_COLUMNS:
            after = ""
            while True:
                with read(self._engine) as conn:
                    found = sealed_db.not_sealed_by(
                        conn, newest, column, after=after, limit=SECRETS_PER_TRANSACTION
                    )
                if not found:
                    break
                after = found[-1].row_id
                anew = {secret: self._reseal(secret) for secret in found}
                unopened += sum(sealed is None for sealed in anew.values())
                resealed += transact(self._engine, _keep, anew)
        log.info("secrets sealed anew", key_name=newest, resealed=resealed, unopened=unopened)
        return Rotation(newest, resealed, unopened)

    def _reseal(self, secret: sealed_db.SealedSecret) -> str | None:
        place = secret.column.place_of(secret.row_id)
        try:
            plain = self._keyring.open(secret.sealed, bound_to=place)
        except Unavailable as error:
            log.warning("secret does not open", place=place, reason=error.message)
            return None
        return self._keyring.seal(plain, bound_to=place)


def _keep(conn: Connection, anew: dict[sealed_db.SealedSecret, str | None]) -> int:
    return sum(
        sealed_db.replace(conn, secret, sealed)
        for secret, sealed in anew.items()
        if sealed is not None
    )
