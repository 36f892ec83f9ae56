"""Where the parts of a scan lie that other machines inspect, and what may be done for one of them.

Changes nothing.  `handoffs` writes and takes up parts, `scan_work` lets machines work on
them.
"""

from collections.abc import Sequence
from typing import Final

from graticule.access.keyring import Keyring
from graticule.db.scan_parts import HandedPart
from graticule.domain.catalog import OWN_FOLDER, AccessLevel, Catalog
from graticule.domain.location import Location
from graticule.storage.iam_policy import LocationGrant

STAGING: Final = (OWN_FOLDER, "scans")
ANSWERS: Final = "answers"


def staging_of(catalog: Catalog, scan_id: str) -> Location:
    """In the catalog's own folder, where nobody discovers anything."""
    return catalog.location.join(*STAGING, scan_id)


def grants_of(staging: Location, part: HandedPart) -> Sequence[LocationGrant]:
    """Read its files and the list of them, write its answers: that and no more."""
    folders = [Location(staging.bucket, key.removesuffix("/")).prefix for key in part.places]
    return (
        *(LocationGrant(folder, AccessLevel.READ) for folder in folders),
        LocationGrant(staging.join("pending", part.name).uri, AccessLevel.READ),
        LocationGrant(staging.join("inspected", part.name).prefix, AccessLevel.WRITE),
    )


def seal_of(keyring: Keyring, scan_id: str) -> bytes:
    """What answers to a scan's parts are sealed with."""
    return keyring.derive(f"answers to scan {scan_id}")
