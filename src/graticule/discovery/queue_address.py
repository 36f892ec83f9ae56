"""Where a store leaves word of its objects: queues of SQS, by URL or ARN, and their keys.  Pure.

A queue is named by a user.  So nothing of what they wrote is ever connected to: it must be a queue
in the place that the integration is in, and its address is put together from that place.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from graticule.access.s3_urls import aws_suffix
from graticule.domain.errors import InvalidRequest

QUEUE_CHARACTERS_MAX: Final = 512
KEY_CHARACTERS_MAX: Final = 256
_ARN: Final = re.compile(
    r"arn:([a-z-]+):sqs:([a-z0-9-]+):(\d{12}):([\w-]{1,80}(?:\.fifo)?)", re.ASCII
)
_KEY_ARN: Final = re.compile(
    r"arn:([a-z-]+):kms:([a-z0-9-]+):\d{12}:key/[A-Za-z0-9-]{1,64}", re.ASCII
)
_PATH: Final = re.compile(r"/(\d{12})/([\w-]{1,80}(?:\.fifo)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """A queue beside a bucket.  `endpoint` is the store's own, None for AWS."""

    partition: str
    region: str
    account: str
    name: str
    endpoint: str | None

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{self.name}"

    @property
    def url(self) -> str:
        return f"{_origin(self.region, self.endpoint)}/{self.account}/{self.name}"


def parse_queue(
    text: str, *, partition: str, region: str, endpoint: str | None = None
) -> QueueAddress:
    """Read the URL or the ARN of a queue in the partition, region and store of an integration.

    Raises:
        InvalidRequest: it is neither, lies anywhere else, or is of a kind that S3 does not send to.
    """
    if len(text) > QUEUE_CHARACTERS_MAX:
        raise InvalidRequest(f"`queue` is longer than {QUEUE_CHARACTERS_MAX} characters")
    if text.startswith("arn:"):
        account, name = _of_arn(text, partition, region)
    else:
        account, name = _of_url(text, region, endpoint)
    if name.endswith(".fifo"):
        raise InvalidRequest(
            f"`queue` `{name}` is a FIFO queue, and S3 sends to standard ones only"
        )
    return QueueAddress(partition, region, account, name, endpoint)


def check_queue_key(kms_key_arn: str, queue: QueueAddress) -> str:
    """Check the ARN of the KMS key that a queue is encrypted with.

    Raises:
        InvalidRequest: it is not the ARN of a key, or of one in another partition or region.
    """
    match = _KEY_ARN.fullmatch(kms_key_arn)
    if match is None:
        # Not an alias: policies that name one do not match the key behind it.
        raise InvalidRequest(
            f"`kms_key_arn` `{kms_key_arn}` is not the ARN of a key; it looks like "
            f"`arn:{queue.partition}:kms:{queue.region}:{queue.account}:key/…`, "
            "and is not an alias"
        )
    if (match[1], match[2]) != (queue.partition, queue.region):
        raise InvalidRequest(
            f"`kms_key_arn` is a key in `{match[1]}`, `{match[2]}`, and the queue is in "
            f"`{queue.partition}`, `{queue.region}`: SQS takes only keys of its own region"
        )
    return kms_key_arn


def _of_arn(text: str, partition: str, region: str) -> tuple[str, str]:
    match = _ARN.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            f"`queue` `{text}` is not the ARN of an SQS queue; it looks like "
            f"`arn:{partition}:sqs:{region}:123456789012:name`"
        )
    if (match[1], match[2]) != (partition, region):
        raise InvalidRequest(
            f"`queue` is in `{match[1]}`, `{match[2]}`, and the bucket in `{partition}`, "
            f"`{region}`: S3 sends to queues of the bucket's own region only"
        )
    return match[3], match[4]


def _of_url(text: str, region: str, endpoint: str | None) -> tuple[str, str]:
    origin = _origin(region, endpoint)
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    match = _PATH.fullmatch(parts.path)
    if match is None or parts.query or parts.fragment:
        raise InvalidRequest(
            f"`queue` `{text}` is neither the ARN nor the URL of an SQS queue; a URL looks like "
            f"`{origin}/123456789012/name`"
        )
    if f"{parts.scheme}://{parts.netloc}".lower() != origin:
        raise InvalidRequest(
            f"`queue` is at `{parts.scheme}://{parts.netloc}`; events of this integration are read "
            f"from `{origin}` only"
        )
    return match[1], match[2]


def _origin(region: str, endpoint: str | None) -> str:
    return endpoint or f"https://sqs.{region}.{aws_suffix(region)}"
