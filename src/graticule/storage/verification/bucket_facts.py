"""What a bucket tells about itself.  Any fact may be unknown: stores and policies withhold them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from graticule.domain.errors import NoSuchFile, StorageRefused, StorageUnavailable
from graticule.storage.aws_errors import code_of, from_answer, region_of, status_of, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BLOCKS: Final = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Encryption:
    """How new objects are encrypted unless their writer says otherwise."""

    algorithm: str
    """`AES256`, `aws:kms` or `aws:kms:dsse`; empty for none."""
    kms_key_arn: str | None = None


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """A rule of the bucket's lifecycle that deletes current objects below `key_prefix`."""

    id: str
    key_prefix: str
    is_partial: bool
    """Only objects with certain tags or sizes."""


class BucketFacts:
    """The facts of a bucket, asked with whatever identity `client` has."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._at = f"s3://{bucket}"

    def region(self) -> str | None:
        """The region in the store's answer, which is there even when access is refused.

        Raises:
            StorageRefused: there is no such bucket, or it is elsewhere.
        """
        with translated("looking at bucket", self._at):
            try:
                answer = self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                region = region_of(error)
                if region is not None or status_of(error) == 403:
                    return region
                if status_of(error) == 404:
                    raise StorageRefused(
                        f"there is no bucket `{self._bucket}`", code="NoSuchBucket"
                    ) from error
                raise from_answer(error, "looking at bucket", self._at) from error
        headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
        return headers.get("x-amz-bucket-region")

    def public_access_is_blocked(self) -> bool | None:
        """True if all four blocks are on."""

        def ask() -> bool:
            answer = self._client.get_public_access_block(Bucket=self._bucket)
            blocks: dict[str, Any] = dict(answer["PublicAccessBlockConfiguration"])
            return all(blocks.get(name) for name in _BLOCKS)

        return self._unless_withheld(ask, {"NoSuchPublicAccessBlockConfiguration": False})

    def policy_is_public(self) -> bool | None:
        def ask() -> bool:
            answer = self._client.get_bucket_policy_status(Bucket=self._bucket)
            return bool(answer["PolicyStatus"].get("IsPublic"))

        return self._unless_withheld(ask, {"NoSuchBucketPolicy": False})

    def requester_pays(self) -> bool | None:
        def ask() -> bool:
            answer = self._client.get_bucket_request_payment(Bucket=self._bucket)
            return answer.get("Payer") == "Requester"

        return self._unless_withheld(ask, {})

    def encryption(self) -> Encryption | None:
        def ask() -> Encryption:
            answer = self._client.get_bucket_encryption(Bucket=self._bucket)
            for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
                default = rule.get("ApplyServerSideEncryptionByDefault")
                if default is not None:
                    return Encryption(default["SSEAlgorithm"], default.get("KMSMasterKeyID"))
            return Encryption("")

        none = {"ServerSideEncryptionConfigurationNotFoundError": Encryption("")}
        return self._unless_withheld(ask, none)

    def versioning(self) -> str | None:
        """`Enabled`, `Suspended` or empty."""

        def ask() -> str:
            return str(self._client.get_bucket_versioning(Bucket=self._bucket).get("Status", ""))

        return self._unless_withheld(ask, {})

    def object_lock(self) -> str | None:
        """How new objects are held by default, as `COMPLIANCE, 30 days`; empty for not at all."""

        def ask() -> str:
            answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
            rule: Mapping[str, Any] = answer["ObjectLockConfiguration"].get("Rule") or {}
            held: Mapping[str, Any] = rule.get("DefaultRetention") or {}
            for unit in ("Days", "Years"):
                if held.get(unit):
                    return f"{held.get('Mode')}, {held[unit]} {unit.lower()}"
            return ""

        return self._unless_withheld(ask, {"ObjectLockConfigurationNotFoundError": ""})

    def expiry_rules(self) -> list[ExpiryRule] | None:
        def ask() -> list[ExpiryRule]:
            answer = self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
            rules: list[Any] = list(answer.get("Rules", []))
            return [_expiry(rule) for rule in rules if _deletes(rule)]

        none: dict[str, list[ExpiryRule]] = {"NoSuchLifecycleConfiguration": []}
        return self._unless_withheld(ask, none)

    def _unless_withheld(self, ask: Callable[[], _T], known: dict[str, _T]) -> _T | None:
        try:
            with translated("asking about bucket", self._at):
                return ask()
        except (NoSuchFile, StorageUnavailable):  # a store that has no such question
            return None
        except StorageRefused as error:
            cause = error.__cause__
            return known.get(code_of(cause)) if isinstance(cause, ClientError) else None


def _deletes(rule: Mapping[str, Any]) -> bool:
    expiry = rule.get("Expiration") or {}
    return rule.get("Status") == "Enabled" and bool(expiry.get("Days") or expiry.get("Date"))


def _expiry(rule: Mapping[str, Any]) -> ExpiryRule:
    chosen: Mapping[str, Any] = rule.get("Filter") or {}
    inner: Mapping[str, Any] = chosen.get("And") or chosen
    prefix = str(inner.get("Prefix") or rule.get("Prefix") or "")
    is_partial = bool(set(inner) - {"Prefix"})
    return ExpiryRule(str(rule.get("ID") or "without a name"), prefix, is_partial)
