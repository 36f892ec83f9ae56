"""Checks of who else gets into the bucket, which decide its type."""

from collections.abc import Callable
from typing import Final

from graticule.domain.catalog import AccessLevel, BucketType
from graticule.domain.errors import NoSuchFile, StorageRefused
from graticule.domain.location import Location
from graticule.storage.aws_errors import PRECONDITION_CODES, translated
from graticule.storage.verification.probe import PROBE_BYTES, AccessProbe
from graticule.storage.verification.reading import PAYING_ADVICE, learn_payment
from graticule.storage.verification.step import Failed, Passed, Skipped, Step

_PUBLIC_ADVICE: Final = (
    "Make the bucket private before you put a managed catalog here: whoever finds it can read "
    "every table."
)


def _bucket_type(probe: AccessProbe) -> Passed:
    public = _why_public(probe)
    if public is not None:
        probe.bucket_type = BucketType.PUBLIC
        return Passed(
            f"public: {public}", _PUBLIC_ADVICE if probe.access is AccessLevel.WRITE else ""
        )
    learn_payment(probe)
    if probe.requester_pays:
        probe.bucket_type = BucketType.REQUESTER_PAYS
        return Passed("requester pays: whoever reads is charged", PAYING_ADVICE)
    probe.bucket_type = BucketType.PRIVATE
    return Passed("private: nobody anonymous gets in")


def _why_public(probe: AccessProbe) -> str | None:
    anybody = probe.store(None, anonymous=True)
    if _allowed(lambda: next(anybody.list(probe.integration.location))):
        return "anybody can list it"
    readable = probe.readable
    if readable is not None and _allowed(
        lambda: anybody.get(readable, range=(0, 1), size_bytes_max=len(PROBE_BYTES))
    ):
        return "anybody can read from it"
    if probe.facts().policy_is_public():
        return "its bucket policy says so"
    return None


def _public_write(probe: AccessProbe) -> Passed:
    if probe.access is AccessLevel.READ:
        raise Skipped("the integration is read-only, so nothing may be tried that could write")
    # An object that is there, on condition that it is not: who may write hears of the condition,
    # who may not is refused before, and nothing is written either way.
    uri = probe.put(probe.store(probe.own), "public")
    location = Location.stored(uri)
    try:
        with translated("writing anonymously", uri):
            probe.client(None).put_object(
                Bucket=location.bucket, Key=location.key, Body=PROBE_BYTES, IfNoneMatch="*"
            )
    except StorageRefused as error:
        if error.context.get("code") not in PRECONDITION_CODES:
            return Passed("nobody anonymous may write")
    probe.bucket_type = BucketType.PUBLIC
    raise Failed(
        "anybody can write to it",
        "Take the permission to write away from everybody (the bucket's policy, its access control "
        "list), and look at what has been written meanwhile.",
    )


def _public_access_block(probe: AccessProbe) -> Passed:
    match probe.facts().public_access_is_blocked():
        case True:
            return Passed("public access is blocked, whatever policies and lists say")
        case False:
            wanted = probe.bucket_type is not BucketType.PUBLIC
            return Passed(
                "public access is not blocked",
                "Switch on all four blocks of public access for the bucket, so that no later "
                "change of a policy opens it."
                if wanted
                else "",
            )
        case None:
            raise Skipped("the store does not tell whether public access is blocked")


def _allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except StorageRefused:
        return False
    except NoSuchFile:
        pass
    return True


STEPS: Final = (
    Step("bucket_type", "The kind of bucket", ("assume_role", "region"), _bucket_type),
    Step(
        "public_write",
        "Nobody else can write",
        ("write", "bucket_type"),
        _public_write,
    ),
    Step(
        "public_access_block",
        "Public access is blocked",
        ("assume_role", "region"),
        _public_access_block,
    ),
)
