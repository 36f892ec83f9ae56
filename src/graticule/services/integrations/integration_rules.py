"""What an integration's role, keys and region may look like.  Its endpoint: see `outbound`."""

import re
from typing import Final

from graticule.domain.catalog import AccessKeys, StorageIntegration
from graticule.domain.errors import InvalidRequest

_PARTITION: Final = r"aws(?:-[a-z]+)*"  # aws, aws-cn, aws-us-gov, aws-iso-b, aws-eusc …
_ROLE: Final = r"role/(?:[\x21-\x7e]{1,510}/)?[\w+=,.@-]{1,64}"
_IDENTITY_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_ROLE_ON_AWS: Final = re.compile(rf"arn:({_PARTITION}):iam::\d{{12}}:{_ROLE}", re.ASCII)
_ROLE_ELSEWHERE: Final = re.compile(rf"arn:[a-z-]+:iam::(?:\d{{12}})?:{_ROLE}", re.ASCII)
_REGION_ON_AWS: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}")
_REGION_ELSEWHERE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_KMS_KEY_ON_AWS: Final = re.compile(
    rf"arn:({_PARTITION}):kms:(?P<region>[a-z0-9-]+):\d{{12}}:key/[A-Za-z0-9-]{{1,64}}", re.ASCII
)
_KMS_KEY_ELSEWHERE: Final = re.compile(r"[\w.:/-]{1,512}", re.ASCII)
_PUBLIC_S3: Final = re.compile(
    r"https?://s3(?:-fips)?(?:[.-]dualstack)?(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?(?::\d+)?"
)
_ACCESS_KEY_ID: Final = re.compile(r"[\x21-\x7e]{3,128}")
_SECRET_CHARACTERS_MAX: Final = 1024

DEFAULT_REGION_ELSEWHERE: Final = "us-east-1"
"""Most S3-compatible stores answer to it, whatever they call their place."""


def check_role_arn(role_arn: str, *, on_aws: bool) -> str:
    """Check the ARN of an IAM role, in whatever AWS partition.

    Raises:
        InvalidRequest: not the ARN of a role.
    """
    pattern = _ROLE_ON_AWS if on_aws else _ROLE_ELSEWHERE
    if not pattern.fullmatch(role_arn):
        raise InvalidRequest(
            f"`role_arn` `{role_arn}` is not the ARN of an IAM role; "
            "it looks like `arn:aws:iam::123456789012:role/name`"
        )
    return role_arn


def check_region(region: str | None, *, on_aws: bool, role_arn: str | None) -> str:
    """Check a region, and that the role is of the region's partition.

    Raises:
        InvalidRequest: missing on AWS, malformed, or of another partition than the role.
    """
    if not on_aws:
        name = region or DEFAULT_REGION_ELSEWHERE
        if not _REGION_ELSEWHERE.fullmatch(name):
            raise InvalidRequest(f"`region` `{name}` must be letters, digits and dashes")
        return name
    if not region or not _REGION_ON_AWS.fullmatch(region):
        raise InvalidRequest(
            f"`region` `{region or ''}` is not an AWS region; write the bucket's, as `eu-central-1`"
        )
    if role_arn is not None:
        partition = role_arn.split(":")[1]
        for prefix, expected in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
            if region.startswith(prefix) != (partition == expected):
                raise InvalidRequest(
                    f"the role is of the partition `{partition}`, which has no region `{region}`"
                )
    return region


def check_kms_key_arn(kms_key_arn: str, *, on_aws: bool, region: str) -> str:
    """Check the ARN of the key that encrypts what is written; other stores name keys as they like.

    Raises:
        InvalidRequest: not the ARN of a key, or of one in another region than the bucket.
    """
    if not on_aws:
        if not _KMS_KEY_ELSEWHERE.fullmatch(kms_key_arn):
            raise InvalidRequest("`kms_key_arn` may hold only letters, digits and _ - . : /")
        return kms_key_arn
    match = _KMS_KEY_ON_AWS.fullmatch(kms_key_arn)
    if match is None:
        # Not an alias: policies that name one do not match the key behind it.
        raise InvalidRequest(
            f"`kms_key_arn` `{kms_key_arn}` is not the ARN of a key; it looks like "
            "`arn:aws:kms:eu-central-1:123456789012:key/…`, and is not an alias"
        )
    if match["region"] != region:
        raise InvalidRequest(
            f"`kms_key_arn` is a key in `{match['region']}`, and S3 takes only keys of the "
            f"bucket's own region, `{region}`"
        )
    return kms_key_arn


def region_of_key(kms_key_arn: str) -> str | None:
    """The region that the ARN of a KMS key names."""
    match = _KMS_KEY_ON_AWS.fullmatch(kms_key_arn)
    return match["region"] if match else None


def check_identity_name(name: str) -> str:
    """Check the name that a role or user is to have.

    Raises:
        InvalidRequest: IAM would not take it.
    """
    if not _IDENTITY_NAME.fullmatch(name):
        raise InvalidRequest(
            f"`{name}` cannot be the name of a role or user: those have 1 to 64 letters, digits "
            "and `+ = , . @ - _`"
        )
    return name


def check_identity(
    *, role_arn: str | None, access_keys: AccessKeys | None, anonymous: bool
) -> None:
    """Check that there is one way to reach the bucket and not two.

    Raises:
        InvalidRequest: none is given, or several.
    """
    given = [role_arn is not None, access_keys is not None, anonymous]
    if sum(given) != 1:
        raise InvalidRequest(
            "give either `role_arn`, or `access_key_id` and `secret_access_key`, or `anonymous` "
            "for a bucket that anybody may read; one of them only"
        )


def check_flags(integration: StorageIntegration) -> None:
    """Check that what an integration may do fits how it reaches its bucket.

    Raises:
        InvalidRequest: two of its flags contradict each other.
    """
    if integration.allow_static_credentials and integration.access_keys is None:
        raise InvalidRequest(
            "`allow_static_credentials` is about access keys, and this integration has none; "
            "leave it out"
        )
    if not integration.is_anonymous:
        return
    if not integration.read_only:
        raise InvalidRequest("an `anonymous` integration is always `read_only`")
    if integration.requester_pays:
        raise InvalidRequest(
            "`requester_pays` needs somebody who pays; use a role or access keys instead of "
            "`anonymous`"
        )
    if integration.kms_key_arn is not None:
        raise InvalidRequest("`kms_key_arn` is for what is written, and `anonymous` never writes")


def refuse_aws_endpoint(endpoint: str) -> None:
    """Refuse AWS's own endpoint where none is to be named: rules for other stores would apply, and
    one bucket would pass for two.  Private endpoints in a VPC have other names.

    Raises:
        InvalidRequest: it is the public S3 of AWS.
    """
    if _PUBLIC_S3.fullmatch(endpoint):
        raise InvalidRequest(
            f"`endpoint` `{endpoint}` is AWS itself: leave it out, and give the `region`"
        )


def check_access_keys(keys: AccessKeys) -> AccessKeys:
    """Check long-lived access keys.

    Raises:
        InvalidRequest: empty, with characters no key has, or temporary.  Never quotes the secret.
    """
    if not _ACCESS_KEY_ID.fullmatch(keys.access_key_id):
        raise InvalidRequest("`access_key_id` must be 3 to 128 characters without spaces")
    if keys.access_key_id.startswith("ASIA"):
        raise InvalidRequest(
            "`access_key_id` is of a temporary credential, which would soon expire; "
            "use a role, or the keys of a user"
        )
    secret = keys.secret_access_key.reveal()
    if not secret or len(secret) > _SECRET_CHARACTERS_MAX or not secret.isprintable():
        raise InvalidRequest("`secret_access_key` is empty, too long, or holds a control character")
    return keys
