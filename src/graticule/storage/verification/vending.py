"""Checks that a credential made for a client reaches what it is for, and not an inch further."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import NoSuchFile, NoTokenService, StorageRefused
from graticule.storage.aws_errors import translated
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.s3 import ObjectStore
from graticule.storage.verification.probe import PROBE_BYTES, AccessProbe
from graticule.storage.verification.step import Failed, Passed, Skipped, Step

_INSIDE: Final = "inside"
_OUTSIDE: Final = "insideout/object"
"""Not a folder further up, but the neighbour whose name begins alike."""


def _narrow(probe: AccessProbe, access: AccessLevel) -> TemporaryCredentials:
    if probe.integration.is_anonymous:
        raise Skipped("the integration is anonymous: nothing is vended")
    try:
        return probe.narrow(probe.folder.join(_INSIDE), access)
    except NoTokenService as error:
        raise Skipped(
            f"{error.message}: nothing can be vended, requests are signed one by one"
        ) from error


def _session_policy_enforced(probe: AccessProbe) -> Passed:
    session = _narrow(probe, probe.access)
    inside = probe.folder.join(_INSIDE)
    store = probe.store(session)
    next(store.list(inside), [])  # the session works at all, where it may
    outside = probe.folder.join(_OUTSIDE).uri
    writes = probe.access is AccessLevel.WRITE
    if writes:
        with suppress(StorageRefused):  # then the check of writing says so
            probe.put(probe.store(probe.own), _OUTSIDE)
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: store.get(outside, size_bytes_max=2 * len(PROBE_BYTES)),
        "list": lambda: next(store.list(probe.folder)),
        "list the whole path": lambda: next(store.list(probe.integration.location)),
        "write": lambda: probe.put(store, "insideout/another"),
    }
    if writes:
        attempts["copy"] = lambda: _copy(probe, session, outside)
    for verb, attempt in attempts.items():
        if _allowed(attempt):
            raise Failed(
                f"a session limited to `{inside.prefix}` was allowed to {verb} outside of it",
                "Do not use this store for several tables: it ignores session policies, so every "
                "vended credential reaches everything.",
            )
    tried = "reading, listing, writing and copying" if writes else "reading, listing and writing"
    return Passed(f"a limited session is refused outside its folder: {tried}")


def _copy(probe: AccessProbe, session: TemporaryCredentials, source: str) -> None:
    target = probe.folder.join(_INSIDE, "copied")
    bucket, _, key = source.removeprefix("s3://").partition("/")
    probe.written.add(target.uri)
    try:
        with translated("copying", source):
            probe.client(session).copy_object(
                Bucket=target.bucket, Key=target.key, CopySource={"Bucket": bucket, "Key": key}
            )
    except StorageRefused:
        probe.written.discard(target.uri)
        raise


def _read_only_enforced(probe: AccessProbe) -> Passed:
    session = _narrow(probe, AccessLevel.READ)
    store = probe.store(session)
    if _allowed(lambda: probe.put(store, f"{_INSIDE}/written")):
        raise Failed(
            "a session for reading was allowed to write",
            "Do not give anybody read access to tables on this store: whoever reads could write.",
        )
    if probe.access is AccessLevel.WRITE and _deleted(probe, store):
        raise Failed(
            "a session for reading was allowed to delete",
            "Do not give anybody read access to tables on this store: whoever reads could delete.",
        )
    return Passed("a session for reading is refused when it writes or deletes")


def _deleted(probe: AccessProbe, reader: ObjectStore) -> bool:
    own = probe.store(probe.own)
    try:
        uri = probe.put(own, f"{_INSIDE}/kept")
    except StorageRefused:
        return False  # the check of writing says so
    with suppress(StorageRefused):
        reader.delete([uri])
    return not own.exists(uri)


def _allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except StorageRefused:
        return False
    except NoSuchFile:
        pass  # looked, and found nothing: it was allowed to look
    return True


_NARROW_REMEDY: Final = (
    "The identity must be able to narrow itself: a role by a session policy, access keys by "
    "`sts:GetFederationToken`."
)

STEPS: Final = (
    Step(
        "session_policy_enforced",
        "Vended credentials stay in their place",
        ("assume_role", "region"),
        _session_policy_enforced,
        _NARROW_REMEDY,
    ),
    Step(
        "read_only_enforced",
        "Credentials for reading only read",
        ("session_policy_enforced",),
        _read_only_enforced,
        _NARROW_REMEDY,
    ),
)
