"""Checks of who we are, and of whom the role lets in: us, and nobody else."""

import uuid
from typing import Final

from graticule.domain.errors import NoSuchFile, NoTokenService, StorageRefused
from graticule.storage.sts import NOT_SERVED_CODES
from graticule.storage.verification.probe import AccessProbe
from graticule.storage.verification.remedies import REDIRECT_CODES
from graticule.storage.verification.step import Failed, Passed, Skipped, Step

_NO_SUCH_SERVICE: Final = NOT_SERVED_CODES | {"400", "NoSuchBucket", "InvalidRequest"}


def _role_of(probe: AccessProbe) -> str:
    if probe.integration.role_arn is not None:
        return probe.integration.role_arn
    if probe.integration.is_anonymous:
        raise Skipped("the integration is anonymous")
    raise Skipped("the integration uses access keys, not a role")


def _identity(probe: AccessProbe) -> Passed:
    if probe.integration.is_anonymous:
        raise Skipped("the integration is anonymous: requests are not signed")
    is_elsewhere = probe.integration.endpoint is not None
    try:
        arn = probe.tokens.caller_arn()
    except NoSuchFile as error:
        if probe.integration.access_keys is not None and is_elsewhere:
            raise Skipped("this store does not tell who is asking") from error
        raise
    except StorageRefused as error:
        code = str(error.context.get("code", ""))
        does_not_tell = code in _NO_SUCH_SERVICE or "is not what S3 says" in error.message
        if (
            probe.integration.access_keys is not None
            and is_elsewhere
            and does_not_tell
            and code not in REDIRECT_CODES
        ):
            raise Skipped(f"this store does not tell who is asking: {error.message}") from error
        raise
    if ":assumed-role/" in arn and probe.integration.role_arn is not None:
        return Passed(f"the server acts as `{arn}`, itself a role: its sessions last an hour")
    return Passed(f"the server acts as `{arn}`")


def _assume_role(probe: AccessProbe) -> Passed:
    probe.own = probe.integration.access_keys
    role_arn = _role_of(probe)
    try:
        probe.own = probe.assume(probe.integration.external_id)
    except NoTokenService as error:
        raise Failed(
            error.message, "This store knows no roles: connect it with access keys."
        ) from error
    return Passed(f"`{role_arn}` trusts the server and its external id")


def _refuses_missing_external_id(probe: AccessProbe) -> Passed:
    return _refuses(probe, "without an external id", None)


def _refuses_wrong_external_id(probe: AccessProbe) -> Passed:
    return _refuses(probe, "with a wrong external id", f"wrong-{uuid.uuid4()}")


def _refuses(probe: AccessProbe, how: str, external_id: str | None) -> Passed:
    _role_of(probe)
    try:
        probe.assume(external_id)
    except StorageRefused:
        return Passed(f"the role is refused {how}")
    if probe.integration.endpoint is not None:
        raise Skipped(
            f"the role was given out {how}: this store does not know external ids, or the trust "
            "policy asks for none"
        )
    raise Failed(
        f"the role was given out {how}: whoever learns its ARN can reach the bucket through this "
        "server",
        "Replace the role's trust policy by the one generated for this integration; its condition "
        "on `sts:ExternalId` is missing or too wide.",
    )


STEPS: Final = (
    Step(
        "identity",
        "The server knows who it is",
        ("network",),
        _identity,
        "Check the access keys; for a role, this is for the server's operator to mend: give the "
        "server an identity by its instance or pod role, or by GRATICULE_STS_ACCESS_KEY_ID.",
    ),
    Step(
        "assume_role",
        "The role can be assumed",
        ("identity",),
        _assume_role,
        "Copy the generated trust policy to the role once more, check the ARN for typing errors, "
        "and wait a minute or two: new trust takes that long to spread.",
        may_propagate=True,
    ),
    Step(
        "refuses_missing_external_id",
        "The role is closed to requests without the external id",
        ("assume_role",),
        _refuses_missing_external_id,
    ),
    Step(
        "refuses_wrong_external_id",
        "The role is closed to requests with another external id",
        ("assume_role",),
        _refuses_wrong_external_id,
    ),
)
