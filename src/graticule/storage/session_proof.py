"""What a store really does with sessions and with strangers: tried out, not believed.

Some stores take a session policy and ignore it.  A credential from such a store would open every
table, so the question comes before the first one leaves.  AWS need not be asked.
"""

import uuid
from collections.abc import Callable
from typing import Final

from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import (
    NoSuchFile,
    SessionsNotNarrowed,
    StorageRefused,
    StorageUnavailable,
)
from graticule.domain.location import Location
from graticule.outbound.gate import Outbound
from graticule.storage.keys import Keys
from graticule.storage.s3 import ObjectStore
from graticule.storage.verification.probe import PROBE_BYTES, PROBE_FOLDER

PROOF_TIMEOUT_S: Final = 10.0
_INSIDE: Final = "inside"
_OUTSIDE: Final = "insideout"
"""The neighbour whose name begins alike."""


def proof_folder(integration: StorageIntegration) -> Location:
    """A folder of the integration that nobody else uses: what the session is to be limited to."""
    return integration.location.join(PROBE_FOLDER, str(uuid.uuid4()), _INSIDE)


def is_readable_by_anybody(integration: StorageIntegration, uri: str, outbound: Outbound) -> bool:
    """True if `uri` can be read without credentials.  A store that does not answer says no."""
    try:
        _store(integration, None, outbound).get(uri, range=(0, 1))
    except (NoSuchFile, StorageRefused, StorageUnavailable):
        return False
    return True


def check_session(
    integration: StorageIntegration, session: Keys, inside: Location, outbound: Outbound
) -> None:
    """Try, with a session that is limited to `inside`, to list, read and write beside it.

    What anybody may do with a public bucket proves nothing about its sessions.

    Raises:
        SessionsNotNarrowed: one of them was allowed.
        StorageUnavailable: the store does not answer, so nothing is known.
    """
    store = _store(integration, session, outbound)
    outside = Location(inside.bucket, inside.key.removesuffix(_INSIDE) + _OUTSIDE)
    for verb, attempt in _ATTEMPTS.items():
        if verb == "write" and integration.read_only:
            continue
        if not _allows(attempt, store, outside):
            continue
        if verb == "write":
            store.delete([outside.uri])
        elif _allows(attempt, _store(integration, None, outbound), outside):
            continue
        raise SessionsNotNarrowed(
            f"the store of `{integration.name}` ignores session policies: a session limited to "
            f"one folder was allowed to {verb} outside of it"
        )


_Attempt = Callable[[ObjectStore, Location], object]
_ATTEMPTS: Final[dict[str, _Attempt]] = {
    "list": lambda store, _: next(store.list(store.root)),
    "read": lambda store, outside: store.get(outside.uri),
    "write": lambda store, outside: store.put_if_absent(outside.uri, PROBE_BYTES),
}


def _allows(attempt: _Attempt, store: ObjectStore, outside: Location) -> bool:
    try:
        attempt(store, outside)
    except NoSuchFile:
        return True  # looked, and found nothing: it was allowed to look
    except StorageRefused:
        return False
    return True


def _store(integration: StorageIntegration, keys: Keys | None, outbound: Outbound) -> ObjectStore:
    return ObjectStore(
        integration.location,
        region=integration.region,
        endpoint=integration.endpoint,
        path_style=integration.path_style,
        credentials=lambda: keys,
        requester_pays=integration.requester_pays,
        read_timeout_s=PROOF_TIMEOUT_S,
        outbound=outbound,
    )
