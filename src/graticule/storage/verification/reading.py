"""Checks that look at the bucket without changing it: where it is, listing, reading."""

import re
from typing import Final

from graticule.domain.errors import StorageRefused
from graticule.storage.aws_errors import is_denial, translated
from graticule.storage.listings import ObjectSummary
from graticule.storage.verification.probe import AccessProbe
from graticule.storage.verification.step import Failed, Passed, Skipped, Step

PAYING_ADVICE: Final = (
    "The bucket's owner lets readers pay: every request is charged to the account of the role or "
    "keys of this integration."
)
_REGION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


def _region(probe: AccessProbe) -> Passed:
    stated = probe.integration.region
    actual = probe.facts().region()
    if actual is None:
        raise Skipped(f"the store does not tell the bucket's region; `{stated}` is used")
    if not _REGION.fullmatch(actual):
        raise Skipped(f"the store names no usable region; `{stated}` is used")
    if actual != stated:
        raise Failed(
            f"the bucket is in `{actual}`, the integration says `{stated}`",
            f"Set the integration's region to `{actual}`.",
        )
    return Passed(f"the bucket is in `{actual}`")


def _list(probe: AccessProbe) -> Passed:
    location = probe.integration.location
    try:
        first = _first_page(probe)
    except StorageRefused as error:
        if probe.requester_pays or not is_denial(error):
            raise
        probe.requester_pays = True
        try:
            first = _first_page(probe)
        except StorageRefused:
            probe.requester_pays = None
            raise error from None
    readable = next((row for row in first if row.size_bytes > 0), None)
    if readable is not None:
        probe.sample = probe.readable = f"s3://{location.bucket}/{readable.key}"
    advice = PAYING_ADVICE if probe.requester_pays else ""
    if not first:
        return Passed(
            f"`{location.prefix}` can be listed; nothing lies there yet",
            advice
            or (
                "If files should be there, check the spelling of the path." if location.key else ""
            ),
        )
    return Passed(f"`{location.prefix}` can be listed", advice)


def _first_page(probe: AccessProbe) -> list[ObjectSummary]:
    return next(probe.store(probe.own).list(probe.integration.location), [])


def _read(probe: AccessProbe) -> Passed:
    if probe.sample is None:
        raise Skipped("nothing lies there yet that could be read")
    probe.store(probe.own).get(probe.sample, range=(0, 1), size_bytes_max=1)
    return Passed(f"`{probe.sample}` can be read")


def learn_payment(probe: AccessProbe) -> None:
    """Ask who pays, unless the listing has told already."""
    if probe.requester_pays is None:
        with translated("asking about bucket", probe.integration.location.bucket):
            probe.requester_pays = probe.facts().requester_pays()


STEPS: Final = (
    Step(
        "region",
        "The region is right",
        ("assume_role",),
        _region,
        "Check the bucket's name and the region.",
    ),
    Step(
        "list",
        "The path can be listed",
        ("assume_role", "region"),
        _list,
        "Allow `s3:ListBucket` on the bucket as in the generated role policy; in another account, "
        "the bucket policy must allow it too.",
        may_propagate=True,
    ),
    Step(
        "read",
        "Objects can be read",
        ("assume_role", "region", "list"),
        _read,
        "Allow `s3:GetObject` below the path as in the generated role policy; in another account, "
        "the bucket policy must allow it too.",
        may_propagate=True,
    ),
)
