"""What a bucket tells about itself.  Any fact may be unknown: stores and policies withhold them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from graticule.domain.catalog import StorageIntegration
from graticule.domain.errors import StorageRefused
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.aws_errors import code_of, from_answer, region_of, status_of, translated
from graticule.storage.clients import s3_client
from graticule.storage.keys import Keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NO_BLOCK_CODE: Final = "NoSuchPublicAccessBlockConfiguration"
_NO_POLICY_CODE: Final = "NoSuchBucketPolicy"
_BLOCKS: Final = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
_T = TypeVar("_T")


class BucketFacts:
    """The facts of an integration's bucket, asked with `keys`."""

    def __init__(
        self,
        integration: StorageIntegration,
        keys: Keys | None,
        *,
        read_timeout_s: float,
        outbound: Outbound = PUBLIC_ONLY,
    ) -> None:
        self._bucket = integration.location.bucket
        self._at = f"s3://{self._bucket}"
        self._client: S3Client = s3_client(
            keys,
            region=integration.region,
            endpoint=integration.endpoint,
            path_style=integration.path_style,
            read_timeout_s=read_timeout_s,
            outbound=outbound,
        )

    def region(self) -> str | None:
        """The region in the store's answer, which is there even when access is refused.

        Raises:
            StorageRefused: there is no such bucket.
        """
        with translated("looking at bucket", self._at):
            try:
                answer = self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                region = region_of(error)
                if region is not None or status_of(error) == 403:
                    return region
                if status_of(error) == 404:
                    raise StorageRefused(f"there is no bucket `{self._bucket}`") from error
                raise from_answer(error, "looking at bucket", self._at) from error
        headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
        return headers.get("x-amz-bucket-region")

    def public_access_is_blocked(self) -> bool | None:
        """True if all four blocks are on."""

        def ask() -> bool:
            answer = self._client.get_public_access_block(Bucket=self._bucket)
            blocks: dict[str, Any] = dict(answer["PublicAccessBlockConfiguration"])
            return all(blocks.get(name) for name in _BLOCKS)

        return self._unless_withheld(ask, {_NO_BLOCK_CODE: False})

    def policy_is_public(self) -> bool | None:
        def ask() -> bool:
            answer = self._client.get_bucket_policy_status(Bucket=self._bucket)
            return bool(answer["PolicyStatus"].get("IsPublic"))

        return self._unless_withheld(ask, {_NO_POLICY_CODE: False})

    def requester_pays(self) -> bool | None:
        def ask() -> bool:
            answer = self._client.get_bucket_request_payment(Bucket=self._bucket)
            return answer.get("Payer") == "Requester"

        return self._unless_withheld(ask, {})

    def _unless_withheld(self, ask: Callable[[], _T], known: dict[str, _T]) -> _T | None:
        try:
            with translated("asking about bucket", self._at):
                return ask()
        except StorageRefused as error:
            cause = error.__cause__
            return known.get(code_of(cause)) if isinstance(cause, ClientError) else None
