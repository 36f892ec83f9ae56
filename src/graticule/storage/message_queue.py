"""One queue of SQS: messages received, and deleted when somebody has seen to them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from graticule.discovery.queue_address import QueueAddress
from graticule.domain.errors import StorageRefused
from graticule.domain.event_queue import QueueFacts
from graticule.outbound.gate import PUBLIC_ONLY, Outbound
from graticule.storage.aws_errors import is_denial, translated
from graticule.storage.clients import sqs_client
from graticule.storage.keys import Keys

BATCH_MAX: Final = 10
"""As many as one request can be answered with."""
WAIT_S_MAX: Final = 20
_ANSWER_S: Final = 10.0
"""For an answer to come, beside the time that the queue was asked to wait."""
_FACTS: Final = ("VisibilityTimeout", "ApproximateNumberOfMessages", "RedrivePolicy")
_KEY_DENIED_CODES: Final = frozenset({"KmsAccessDenied", "KMS.AccessDeniedException"})
"""By either of the names that SQS gives its errors."""


@dataclass(frozen=True, slots=True)
class Message:
    receipt: str
    """With which it is deleted; ends with its being hidden."""
    body: str


class MessageQueue:
    def __init__(
        self,
        queue: QueueAddress,
        keys: Keys,
        *,
        kms_key_arn: str | None = None,
        wait_s: int,
        outbound: Outbound = PUBLIC_ONLY,
    ) -> None:
        """Reached where the integration is, and nowhere that a message or an answer says.

        `kms_key_arn` is the key that `keys` may decrypt with.
        """
        self._url = queue.url
        self._kms_key_arn = kms_key_arn
        self._wait_s = wait_s
        self._client = sqs_client(
            keys,
            region=queue.region,
            endpoint=queue.endpoint,
            read_timeout_s=wait_s + _ANSWER_S,
            outbound=outbound,
        )

    def facts(self) -> QueueFacts:
        """How the queue is set up, and about how much is in it.

        Raises:
            StorageRefused, StorageUnavailable: it does not say.
        """
        with translated("looking at the queue", self._url):
            answer = self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=list(_FACTS)
            )
            said = answer.get("Attributes") or {}
            try:
                return QueueFacts(
                    visibility_s=int(said["VisibilityTimeout"]),
                    messages=int(said["ApproximateNumberOfMessages"]),
                    has_dead_letters="deadLetterTargetArn"
                    in json.loads(said.get("RedrivePolicy") or "{}"),
                )
            except ValueError as error:
                raise StorageRefused(
                    f"looking at the queue `{self._url}`: the answer is not what SQS says"
                ) from error

    def receive(self, *, visibility_s: int | None) -> list[Message]:
        """Up to ten messages, as soon as there is one; none if none came while it waited.

        They are hidden from others for as long as the queue says, or for `visibility_s`.

        Raises:
            StorageRefused, StorageUnavailable: nothing was received.
        """
        hidden = {} if visibility_s is None else {"VisibilityTimeout": visibility_s}
        try:
            with translated("receiving from the queue", self._url):
                answer = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=BATCH_MAX,
                    WaitTimeSeconds=self._wait_s,
                    **hidden,
                )
                return [
                    Message(message["ReceiptHandle"], message["Body"])
                    for message in answer.get("Messages") or ()
                ]
        except StorageRefused as error:
            code = error.context.get("code")
            if code not in _KEY_DENIED_CODES and not (is_denial(error) and "kms:" in error.message):
                raise
            raise StorageRefused(f"{error.message}; {self._way_to_the_key()}", code=code) from error

    def _way_to_the_key(self) -> str:
        if self._kms_key_arn is None:
            return (
                "the queue is encrypted with a KMS key that this session may not use: name its ARN "
                "with `--kms-key` (`kms_key_arn`), and permit what that prints"
            )
        return (
            f"the session may decrypt with `{self._kms_key_arn}`: if that is the queue's key, its "
            "policy or that of the role or user does not permit it; `graticule sync queue CATALOG` "
            "prints both. Name another key with `--kms-key` (`kms_key_arn`)"
        )

    def delete(self, messages: Sequence[Message]) -> None:
        """Take messages out for good.

        Raises:
            StorageRefused, StorageUnavailable: some may be left, and will come again.
        """
        if not messages:
            return
        entries = [
            {"Id": str(number), "ReceiptHandle": message.receipt}
            for number, message in enumerate(messages)
        ]
        try:
            with translated("deleting from the queue", self._url):
                answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        except StorageRefused as error:
            if not is_denial(error):
                raise
            # AWS asks for the right to delete a message; others for one to delete several.
            for message in messages:
                with translated("deleting from the queue", self._url):
                    self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)
            return
        failed = answer.get("Failed") or ()
        if failed:
            code = str(failed[0].get("Code"))[:64]
            raise StorageRefused(
                f"deleting from the queue `{self._url}`: {len(failed)} messages stayed ({code})"
            )
