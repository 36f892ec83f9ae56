"""What readers of a table are let read beside its own location: decided when it is registered.

A folder only if no other table's files are in it, since whoever may read the table is handed a
credential for it.
"""

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

import numpy as np

from graticule.discovery.proposal import Proposal
from graticule.discovery.sources import SOURCES_MAX
from graticule.domain.batches import batched
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import InvalidLocation, WrongState
from graticule.domain.location import Location
from graticule.storage.iam_policy import LocationGrant, fits
from graticule.storage.s3 import ObjectStore

FILES_AT_ONCE: Final = 1000


def refuse_changed(store: ObjectStore, proposal: Proposal, bucket: str) -> None:
    """Refuse files that are not those that were inspected: their statistics would be lies.

    Raises:
        WrongState: a file was replaced or removed since the scan.
    """
    folders = [source for source in proposal.sources if source.endswith("/") or not source]
    # Eight bytes for each file: there may be a million.
    listed = array("Q")
    for folder in folders:
        for rows in store.list(Location(bucket, folder.rstrip("/"))):
            listed.extend(_mark(row.key, row.etag) for row in rows)
    there = np.frombuffer(listed, np.uint64)
    there.sort()
    for some in batched(proposal.files, FILES_AT_ONCE):
        marks = np.array([_mark(file.key, file.etag) for file in some], np.uint64)
        ends = np.searchsorted(there, marks, side="right")
        is_listed = ends > np.searchsorted(there, marks)
        for file in (some[position] for position in np.flatnonzero(~is_listed)):
            uri = f"s3://{bucket}/{file.key}"
            if file.key not in proposal.sources or not store.holds_version(uri, file.etag):
                raise WrongState(f"`{file.key}` was replaced or removed since the scan; scan again")


def _mark(key: str, etag: str) -> int:
    digest = blake2b(f"{key}\0{etag}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def safe_sources(
    scanned: Location, proposal: Proposal, location: Location, registered: Sequence[str]
) -> tuple[str, ...]:
    """What a reader of the table is let read: its folders, or its files one by one.

    `registered` are the folders and files that other tables read.

    Raises:
        InvalidLocation: other tables' files lie among its own and there are too many to name, or
            its own lie in a folder that readers of another table may open.
    """
    bucket = scanned.bucket

    def grants(sources: Sequence[str]) -> list[LocationGrant]:
        own = LocationGrant(location.prefix, AccessLevel.WRITE)
        read = [LocationGrant(f"s3://{bucket}/{key}", AccessLevel.READ) for key in sources]
        return [own, *read]

    others = [source for source in registered if source not in proposal.sources]
    theirs = tuple(
        source
        for source in others
        if source.endswith("/")
        and (source.startswith(proposal.root) or proposal.root.startswith(source))
    )
    inside = (
        next((file.key for file in proposal.files if file.key.startswith(theirs)), None)
        if theirs
        else None
    )
    if inside is not None:
        around = next(each for each in theirs if inside.startswith(each))
        raise InvalidLocation(
            f"`{inside}` lies in `{around}`, all of which readers of another table may open"
        )
    folders = tuple(source for source in proposal.sources if source.endswith("/"))
    neighbour = proposal.neighbour
    if neighbour is None and folders:
        neighbour = next((key for key in others if key.startswith(folders)), None)
    whole_bucket = any(source in {"", "/"} for source in proposal.sources)
    if neighbour is None and not whole_bucket and fits(grants(proposal.sources)):
        return proposal.sources
    keys = tuple(file.key for file in islice(proposal.files, SOURCES_MAX + 1))
    if len(keys) <= SOURCES_MAX and fits(grants(keys)):
        return keys
    reason = (
        "they lie at the root of the bucket"
        if whole_bucket
        else f"files of another table, such as `{neighbour}`, lie among them"
    )
    raise InvalidLocation(
        f"the {proposal.file_count} files of `{proposal.root or scanned.prefix}` cannot be "
        f"opened for readers of one table alone: {reason}; move them to a folder of their own"
    )
