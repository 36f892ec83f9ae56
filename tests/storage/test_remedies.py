"""What AWS alone answers, and no store at hand does, leads to the remedy for it."""

import pytest

from graticule.domain.errors import StorageRefused, StorageUnavailable
from graticule.storage.aws_errors import StoreError, refusal
from graticule.storage.verification.remedies import may_spread_yet, remedy_for

OTHERWISE = "what the check itself would say"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234"
NOT_AUTHORISED = "User: arn:aws:sts::1:assumed-role/lake/x is not authorized to perform: "


def answered(status, code, message="no message"):
    return refusal(StoreError(status, code, message, None), "trying", "s3://lake")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (answered(403, "RequestTimeTooSkewed"), "NTP"),
        (answered(403, "InvalidClientTokenId"), "AWS does not know it"),
        (answered(403, "SignatureDoesNotMatch"), "secret access key"),
        (answered(403, "RegionDisabledException"), "Switch on the token service"),
        (answered(400, "ValidationError", "1 hour session limit"), "one hour at most"),
        (answered(400, "PackedPolicyTooLarge"), "shorter path"),
        (answered(400, "KMS.DisabledException"), "KMS key on again"),
        (answered(403, "InvalidObjectState"), "archive"),
        (answered(404, "NoSuchBucket"), "spelling of the bucket"),
        (answered(301, "PermanentRedirect"), "redirects are never followed"),
        (answered(503, "SlowDown"), "fewer requests"),
        (answered(502, "502"), "does not speak S3"),
        (answered(403, "AccessDenied", f"{NOT_AUTHORISED}kms:Decrypt on {KEY}"), f"(`{KEY}`)"),
        (
            answered(
                403,
                "AccessDenied",
                f"{NOT_AUTHORISED}s3:PutObject with an explicit deny in a service control policy",
            ),
            "service control policy",
        ),
        (answered(403, "AccessDenied", f"{NOT_AUTHORISED}x with an explicit deny"), "`Deny`"),
        (
            answered(
                403, "AccessDenied", f"{NOT_AUTHORISED}x because no resource-based policy allows x"
            ),
            "bucket policy must allow",
        ),
        (answered(403, "AccessDenied"), OTHERWISE),
        (StorageUnavailable("connection refused"), "not your browser"),
        (StorageRefused("something else"), OTHERWISE),
    ],
)
def test_an_answer_has_its_remedy(error, says):
    assert says in remedy_for(error, OTHERWISE)


def test_only_a_denial_that_nobody_meant_may_be_one_of_iam_catching_up():
    assert may_spread_yet(answered(403, "AccessDenied"))
    assert not may_spread_yet(answered(403, "AccessDenied", "with an explicit deny in a policy"))
    assert not may_spread_yet(answered(403, "SignatureDoesNotMatch"))
    assert not may_spread_yet(answered(503, "SlowDown"))
