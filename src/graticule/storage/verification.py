"""Verify access: can the server use this integration, and is it closed to everybody else?

Named checks, each with what the store answered and what to do about it.  The interesting ones are
negative: a role that anybody may assume, or a session that reaches beyond its policy, is worse than
one that does not work.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from graticule.domain.catalog import AccessLevel, BucketType, StorageIntegration
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    NoSuchFile,
    StorageRefused,
    StorageUnavailable,
)
from graticule.domain.location import parse_integration_path
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.access_probe import PROBE_BYTES, AccessProbe
from graticule.storage.identity import ServerIdentity


class CheckStatus(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.  `detail` is what was seen; `remedy` what an admin does about a failure."""

    id: str
    title: str
    status: CheckStatus
    ms: int
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    checks: tuple[Check, ...]
    bucket_type: BucketType

    @property
    def passed(self) -> bool:
        """True if nothing failed.  What had to be skipped says why in its detail."""
        return all(check.status is not CheckStatus.FAIL for check in self.checks)


def verify(
    integration: StorageIntegration,
    identity: ServerIdentity,
    *,
    access: AccessLevel = AccessLevel.WRITE,
    outbound: Outbound = PUBLIC_ONLY,
) -> Verification:
    """Run every check against the store.

    Takes seconds at worst.  Never raises for what the store does; writes only below
    `<path>/.graticule-access-check/`, and removes it again.
    """
    probe = AccessProbe(integration, identity, access, outbound)
    checks: list[Check] = []
    unmet: set[str] = set()
    for step in _STEPS:
        missing = next((need for need in step.needs if need in unmet), None)
        if missing is not None:
            check = Check(step.id, step.title, CheckStatus.SKIP, 0, f"needs `{missing}`")
        else:
            check = _run(step, probe)
        if missing is not None or check.status is CheckStatus.FAIL:
            unmet.add(step.id)
        checks.append(check)
    return Verification(tuple(checks), probe.bucket_type)


class _Failed(Exception):
    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class _Skipped(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Step:
    id: str
    title: str
    needs: tuple[str, ...]
    run: Callable[[AccessProbe], str]
    remedy: str
    """What to do when the store's own answer is the failure."""


def _run(step: _Step, probe: AccessProbe) -> Check:
    started = time.perf_counter()

    def found(status: CheckStatus, detail: str, remedy: str = "") -> Check:
        ms = round((time.perf_counter() - started) * 1000)
        return Check(step.id, step.title, status, ms, detail, remedy)

    try:
        return found(CheckStatus.PASS, step.run(probe))
    except _Skipped as skipped:
        return found(CheckStatus.SKIP, str(skipped))
    except _Failed as failed:
        return found(CheckStatus.FAIL, failed.detail, failed.remedy)
    except StorageUnavailable as error:
        return found(CheckStatus.FAIL, error.message, "Try again when the store answers.")
    except CatalogError as error:
        return found(CheckStatus.FAIL, error.message, step.remedy)


def _path(probe: AccessProbe) -> str:
    location = parse_integration_path(probe.integration.location.uri)
    return f"`{location.prefix}` follows the rules for paths"


def _identity(probe: AccessProbe) -> str:
    try:
        return f"the server acts as `{probe.tokens.caller_arn()}`"
    except StorageRefused as error:
        if probe.integration.access_keys is not None and probe.integration.endpoint is not None:
            raise _Skipped(f"this store does not tell who is asking: {error.message}") from error
        raise


def _assume_role(probe: AccessProbe) -> str:
    if probe.integration.role_arn is None:
        probe.own = probe.integration.access_keys
        raise _Skipped("the integration uses access keys, not a role")
    probe.own = probe.assume(probe.integration.external_id)
    return f"`{probe.integration.role_arn}` trusts the server and its external id"


def _external_id_required(probe: AccessProbe) -> str:
    if probe.integration.role_arn is None:
        raise _Skipped("the integration uses access keys, not a role")
    for what, external_id in (("without an", None), ("with a wrong", f"wrong-{uuid.uuid4()}")):
        try:
            probe.assume(external_id)
        except StorageRefused:
            continue
        if probe.integration.endpoint is not None:
            raise _Skipped(
                f"the role was given out {what} external id: this store does not know external "
                "ids, or the trust policy asks for none"
            )
        raise _Failed(
            f"the role was given out {what} external id: whoever learns its ARN can reach the "
            "bucket through this server",
            "Replace the role's trust policy by the one generated for this integration; its "
            "condition on `sts:ExternalId` is missing or too wide.",
        )
    return "the role is refused without an external id and with a wrong one"


def _region(probe: AccessProbe) -> str:
    stated = probe.integration.region
    actual = probe.facts().region()
    if actual is None:
        raise _Skipped(f"the store does not tell the bucket's region; `{stated}` is used")
    if actual != stated:
        raise _Failed(
            f"the bucket is in `{actual}`, the integration says `{stated}`",
            f"Set the integration's region to `{actual}`.",
        )
    return f"the bucket is in `{actual}`"


def _list(probe: AccessProbe) -> str:
    location = probe.integration.location
    first = next(probe.store(probe.own).list(location), [])
    if not first:
        return f"`{location.prefix}` can be listed; nothing lies there yet"
    probe.readable = f"s3://{location.bucket}/{first[0].key}"
    return f"`{location.prefix}` can be listed"


def _write(probe: AccessProbe) -> str:
    if probe.access is AccessLevel.READ:
        raise _Skipped("the integration is read-only")
    store = probe.store(probe.own)
    uri = probe.put(store, "write", PROBE_BYTES)
    if store.get(uri) != PROBE_BYTES or store.get(uri, range=(11, 9)) != PROBE_BYTES[11:20]:
        raise _Failed(f"`{uri}` reads back other than written", "Ask the store's operator.")
    store.delete([uri])
    if store.exists(uri):
        raise _Failed(f"`{uri}` is still there after it was deleted", "Ask the store's operator.")
    probe.written.discard(uri)
    return "an object was written, read, and deleted"


def _conditional_write(probe: AccessProbe) -> str:
    if probe.access is AccessLevel.READ:
        raise _Skipped("the integration is read-only")
    store = probe.store(probe.own)
    uri = probe.put(store, "conditional", PROBE_BYTES)
    probe.readable = uri
    try:
        store.put_if_absent(uri, PROBE_BYTES + b"  Second.")
    except AlreadyExists:
        return "a second writer of the same name is refused"
    raise _Failed(
        "the store let a second writer replace an object in spite of `If-None-Match: *`",
        "Do not keep managed catalogs here: two commits could destroy each other. "
        "Use a store with conditional writes.",
    )


def _session_policy_enforced(probe: AccessProbe) -> str:
    inside = probe.folder.join("inside")
    store = probe.store(probe.narrow(inside))
    next(store.list(inside), [])  # the session works at all, where it may
    outside = probe.folder.join("insideout", "object").uri
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: store.get(outside),
        "list": lambda: next(store.list(probe.folder)),
        "write": lambda: probe.put(store, "insideout/object", PROBE_BYTES),
    }
    for verb, attempt in attempts.items():
        try:
            attempt()
        except NoSuchFile:
            pass  # looked, and found nothing: it was allowed to look
        except StorageRefused:
            continue
        raise _Failed(
            f"a session limited to `{inside.prefix}` was allowed to {verb} outside of it",
            "Do not use this store for several tables: it ignores session policies, so every "
            "vended credential reaches everything.",
        )
    return "a limited session is refused outside its folder: reading, listing and writing"


def _bucket_type(probe: AccessProbe) -> str:
    facts = probe.facts()
    anybody = probe.store(None)
    if _allowed(lambda: next(anybody.list(probe.integration.location))):
        probe.bucket_type = BucketType.PUBLIC
        return "public: anybody can list it"
    readable = probe.readable
    if readable is not None and _allowed(lambda: anybody.get(readable, range=(0, 1))):
        probe.bucket_type = BucketType.PUBLIC
        return "public: anybody can read from it"
    if facts.policy_is_public():
        probe.bucket_type = BucketType.PUBLIC
        return "public: its bucket policy says so"
    if facts.requester_pays():
        probe.bucket_type = BucketType.REQUESTER_PAYS
        return "requester pays: whoever reads is charged"
    probe.bucket_type = BucketType.PRIVATE
    match facts.public_access_is_blocked():
        case True:
            return "private: public access is blocked"
        case False:
            return "private: nobody anonymous gets in, though public access is not blocked"
        case None:
            return "private: nobody anonymous gets in"


def _cleanup(probe: AccessProbe) -> str:
    store = probe.store(probe.own)
    left = sorted(probe.written)
    try:
        store.delete(left)
        left = [uri for uri in left if store.exists(uri)]
    except CatalogError as error:
        raise _Failed(
            f"left behind: {', '.join(f'`{uri}`' for uri in left)}: {error.message}",
            "Allow `s3:DeleteObject` for the integration's path, and delete these objects.",
        ) from error
    if left:
        raise _Failed(
            f"left behind: {', '.join(f'`{uri}`' for uri in left)}", "Delete these objects."
        )
    return "nothing was left behind"


def _allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except StorageRefused:
        return False
    except NoSuchFile:
        pass
    return True


_STEPS: Final = (
    _Step(
        "path",
        "The path follows the rules",
        (),
        _path,
        "Use `s3://bucket/folder` without periods; letters, digits and `_ = - /`.",
    ),
    _Step(
        "identity",
        "The server knows who it is",
        ("path",),
        _identity,
        "Check the access keys; for a role, this is for the server's operator to mend.",
    ),
    _Step(
        "assume_role",
        "The role can be assumed",
        ("identity",),
        _assume_role,
        "Copy the generated trust policy to the role once more, check the ARN for typing errors, "
        "and wait a minute or two: new trust takes that long to spread.",
    ),
    _Step(
        "external_id_required",
        "The role is closed to others",
        ("assume_role",),
        _external_id_required,
        "Replace the role's trust policy by the one generated for this integration.",
    ),
    _Step(
        "region",
        "The region is right",
        ("assume_role",),
        _region,
        "Check the bucket's name and the region.",
    ),
    _Step(
        "list",
        "The path can be listed",
        ("assume_role", "region"),
        _list,
        "Allow `s3:ListBucket` on the bucket as in the generated role policy; in another account, "
        "the bucket policy must allow it too.",
    ),
    _Step(
        "write",
        "Objects can be written, read and deleted",
        ("assume_role", "region"),
        _write,
        "Attach the generated read-write policy to the role; for a bucket encrypted with KMS, also "
        "allow `kms:GenerateDataKey` and `kms:Decrypt` on its key.",
    ),
    _Step(
        "conditional_write",
        "Nothing is overwritten by accident",
        ("write",),
        _conditional_write,
        "Use a store that supports `If-None-Match` on writes.",
    ),
    _Step(
        "session_policy_enforced",
        "Vended credentials stay in their place",
        ("assume_role", "region"),
        _session_policy_enforced,
        "The identity must be able to narrow itself: a role by a session policy, access keys by "
        "`sts:GetFederationToken`.",
    ),
    _Step(
        "bucket_type",
        "The kind of bucket",
        ("assume_role", "region"),
        _bucket_type,
        "",
    ),
    _Step("cleanup", "Nothing is left behind", ("assume_role",), _cleanup, ""),
)
