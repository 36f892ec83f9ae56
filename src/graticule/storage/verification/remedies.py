"""What to do about an answer of a store, whichever check it ended."""

import re
from typing import Final

from graticule.domain.errors import CatalogError, NoTokenService, StorageUnavailable
from graticule.storage.aws_errors import is_denial

REDIRECT_CODES: Final = frozenset(
    {"301", "302", "303", "307", "308", "PermanentRedirect", "TemporaryRedirect"}
)

CLOCK_REMEDY: Final = (
    "Set the clock of the machine that Graticule runs on by NTP; if that is right, the store's."
)
UNREACHABLE_REMEDY: Final = (
    "Check the endpoint from the machine that Graticule runs on: it is the server that connects, "
    "not your browser. Try again when the store answers."
)
NOT_S3_REMEDY: Final = (
    "Check the endpoint: what answers there does not speak S3. It may be the port of a console or "
    "a proxy's page of errors."
)

_BY_CODE: Final = {
    "RequestTimeTooSkewed": CLOCK_REMEDY,
    "RequestExpired": CLOCK_REMEDY,
    "InvalidAccessKeyId": "Check the access key id: the store does not know it, or no longer.",
    "InvalidClientTokenId": "Check the access key id: AWS does not know it, or no longer.",
    "SignatureDoesNotMatch": "Check the secret access key: it does not belong to the key id.",
    "ExpiredToken": "The server's own session has expired: its operator must renew it.",
    "NoSuchBucket": "Check the spelling of the bucket: none of this name is in this account and "
    "region.",
    "AllAccessDisabled": "The bucket's owner has switched off all access to it.",
    "RegionDisabledException": "Switch on the token service in this region (IAM, account settings),"
    " or use a bucket in another one.",
    "MalformedPolicyDocument": "The store does not understand the session policy: this is for its "
    "operator to look at.",
    "PackedPolicyTooLarge": "Use a shorter path: the session policy does not fit.",
    "PackedPolicyTooLargeException": "Use a shorter path: the session policy does not fit.",
    "ValidationError": "Check the role's ARN, and that the role allows sessions as long as the "
    "server asks for (one hour at most when the server itself runs under a role).",
    "KMS.DisabledException": "Switch the bucket's KMS key on again.",
    "KMSDisabledException": "Switch the bucket's KMS key on again.",
    "KMS.KMSInvalidStateException": "The bucket's KMS key is pending deletion or not ready: look "
    "at it in KMS.",
    "KMSInvalidStateException": "The bucket's KMS key is pending deletion or not ready: look at it "
    "in KMS.",
    "InvalidObjectState": "The object lies in an archive: restore it, or choose a path without "
    "archived objects.",
    "SlowDown": "The store asks for fewer requests: try again later.",
}
_KMS_KEY: Final = re.compile(r"arn:[a-z-]+:kms:[^\s\"'`,]+")
_BY_WORDS: Final = (
    (
        "service control policy",
        "A service control policy of the AWS organisation refuses this: its administrator decides.",
    ),
    (
        "vpc endpoint policy",
        "The policy of the VPC endpoint on the way refuses this: its administrator must allow it.",
    ),
    (
        "explicit deny",
        "A policy denies this explicitly, whatever others allow: look for `Deny` in the bucket's.",
    ),
    (
        "no session policy allows",
        "The session policy refuses this: this is for the server's operator to look at.",
    ),
    (
        "no resource-based policy allows",
        "The bucket is in another account: its bucket policy must allow the role too.",
    ),
)


def remedy_for(error: CatalogError, otherwise: str) -> str:
    """The remedy that the store's answer points to, else `otherwise`."""
    if isinstance(error, NoTokenService):
        return otherwise
    code = str(error.context.get("code", ""))
    if code in _BY_CODE:
        return _BY_CODE[code]
    if isinstance(error, StorageUnavailable):
        # A mere number: the answer held none of the errors that S3 knows.
        return f"{NOT_S3_REMEDY} Or try again later." if code.isdecimal() else UNREACHABLE_REMEDY
    words = error.message.lower()
    if "is not what s3 says" in words:
        return NOT_S3_REMEDY
    if code in REDIRECT_CODES or "redirects in a circle" in words:
        return (
            "Check the endpoint and the region: the store sends us elsewhere, and redirects are "
            "never followed. Name the address where it ends."
        )
    if "kms" in words and is_denial(error):
        key = _KMS_KEY.search(error.message)
        named = f" (`{key[0]}`)" if key else ""
        return (
            f"Allow `kms:GenerateDataKey` and `kms:Decrypt` on the bucket's key{named}, in the "
            "role's policy and, from another account, in the key's policy."
        )
    for needle, remedy in _BY_WORDS:
        if needle in words:
            return remedy
    return otherwise


def may_spread_yet(error: CatalogError) -> bool:
    """True for the refusals that IAM also gives while a change has not reached everywhere."""
    return is_denial(error) and "explicit deny" not in error.message.lower()
