"""Checks of what the bucket does to objects by itself: encrypts, keeps, holds, deletes them."""

from typing import Final

from graticule.domain.catalog import AccessLevel
from graticule.storage.verification.bucket_facts import ExpiryRule
from graticule.storage.verification.probe import AccessProbe
from graticule.storage.verification.step import Failed, Passed, Skipped, Step


def _encryption(probe: AccessProbe) -> Passed:
    found = probe.facts().encryption()
    if found is None:
        raise Skipped("the store does not tell how it encrypts")
    if not found.algorithm:
        return Passed("objects are not encrypted by default")
    if not found.algorithm.startswith("aws:kms"):
        return Passed(f"objects are encrypted with `{found.algorithm}`")
    key = found.kms_key_arn or "the account's own key"
    return Passed(
        f"objects are encrypted with KMS, by `{key}`",
        ""
        if probe.integration.kms_key_arn is not None
        else "Set the key as `kms_key_arn` of the integration, so that generated policies allow "
        "its use; the key's own policy must allow it too.",
    )


def _versioning(probe: AccessProbe) -> Passed:
    match probe.facts().versioning():
        case None:
            raise Skipped("the store does not tell whether it keeps old versions")
        case "Enabled":
            return Passed(
                "old versions of objects are kept",
                "Deleted files go on being charged: add a lifecycle rule that expires noncurrent "
                "versions.",
            )
        case "Suspended":
            return Passed("old versions of objects are no longer kept")
        case _:
            return Passed("old versions of objects are not kept")


def _object_lock(probe: AccessProbe) -> Passed:
    match probe.facts().object_lock():
        case None:
            raise Skipped("the store does not tell whether it locks objects")
        case "":
            return Passed("new objects are not locked")
        case held:
            return Passed(
                f"new objects are locked: {held}",
                "Files of dropped tables and expired snapshots cannot be deleted before that.",
            )


def _lifecycle(probe: AccessProbe) -> Passed:
    rules = probe.facts().expiry_rules()
    if rules is None:
        raise Skipped("the store does not tell its lifecycle rules")
    prefix = probe.integration.location.key_prefix
    touching = [
        rule
        for rule in rules
        if rule.key_prefix.startswith(prefix) or prefix.startswith(rule.key_prefix)
    ]
    if not touching:
        return Passed("no lifecycle rule deletes objects below the path")
    told = f"lifecycle rules delete objects below the path: {_named(touching)}"
    remedy = (
        "Take the path out of these rules: a table whose data files are deleted behind its back "
        "cannot be read any more."
    )
    whole = [rule for rule in touching if prefix.startswith(rule.key_prefix)]
    if probe.access is AccessLevel.WRITE and any(not rule.is_partial for rule in whole):
        raise Failed(told, remedy)
    return Passed(told, remedy)


def _named(rules: list[ExpiryRule]) -> str:
    return ", ".join(f"`{rule.id[:60]}` below `{rule.key_prefix[:200]}`" for rule in rules[:5])


_NEEDS: Final = ("assume_role", "region")

STEPS: Final = (
    Step("encryption", "How objects are encrypted", _NEEDS, _encryption),
    Step("versioning", "Whether old versions are kept", _NEEDS, _versioning),
    Step("object_lock", "Whether objects are locked", _NEEDS, _object_lock),
    Step("lifecycle", "Nothing is deleted behind our back", _NEEDS, _lifecycle),
)
