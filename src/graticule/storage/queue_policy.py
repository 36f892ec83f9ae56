"""IAM policy documents about a queue of events: who may fill it, and who may read it.  Pure."""

from typing import Any, Final

from graticule.access.s3_urls import aws_suffix
from graticule.discovery.queue_address import QueueAddress

Json = dict[str, Any]

READ_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
KEY_READER_ACTIONS: Final = ("kms:Decrypt",)
KEY_SENDER_ACTIONS: Final = ("kms:GenerateDataKey", "kms:Decrypt")


def queue_session_policy(queue: QueueAddress, kms_key_arn: str | None = None) -> Json:
    """What the server's session for a queue may do: read this one, and nothing else."""
    statements = [{"Effect": "Allow", **_reading(queue)}]
    if kms_key_arn is not None:
        statements.append({"Effect": "Allow", **_decrypting(queue, kms_key_arn)})
    return _document(*statements)


def queue_reader_statements(queue: QueueAddress, kms_key_arn: str | None = None) -> list[Json]:
    """What an admin adds to the policy of the integration's role or user.

    `kms_key_arn` adds the use of that key, through SQS only.
    """
    statements = [{"Sid": "ReadEvents", "Effect": "Allow", **_reading(queue)}]
    if kms_key_arn is not None:
        decrypts = {"Sid": "DecryptEvents", "Effect": "Allow", **_decrypting(queue, kms_key_arn)}
        statements.append(decrypts)
    return statements


def queue_policy(queue: QueueAddress, bucket: str, *, role_arn: str | None) -> Json:
    """What an admin attaches to the queue: the bucket may send to it.

    The role is named only where it is of another account than the queue: elsewhere its own policy
    is enough.  The bucket is taken for one of the role's account.
    """
    role_account = _account_of(role_arn)
    sends = {
        "Sid": "BucketSends",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:{queue.partition}:s3:::{bucket}"},
            "StringEquals": {"aws:SourceAccount": role_account or queue.account},
        },
    }
    if role_account is None or role_account == queue.account:
        return _document(sends)
    reads = {"Sid": "RoleReads", "Effect": "Allow", "Principal": {"AWS": role_arn}}
    return _document(sends, reads | _reading(queue))


def key_statements(queue: QueueAddress, kms_key_arn: str, *, role_arn: str | None) -> list[Json]:
    """What an admin adds to the policy of the key that a queue is encrypted with.

    The store encrypts what it sends.  The role is named only where it is of another account than
    the key: elsewhere the key's own policy leaves it to IAM, unless its owner has changed that.
    Which bucket may send, the queue's policy says.
    """
    role_account = _account_of(role_arn)
    sends = {
        "Sid": "StoreEncryptsEvents",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": list(KEY_SENDER_ACTIONS),
        "Resource": "*",
    }
    if role_account is None or role_account == _account_of(kms_key_arn):
        return [sends]
    reads = {"Sid": "RoleDecryptsEvents", "Effect": "Allow", "Principal": {"AWS": role_arn}}
    # In the policy of a key, `*` is that key.
    return [sends, reads | _decrypting(queue, kms_key_arn) | {"Resource": "*"}]


def _reading(queue: QueueAddress) -> Json:
    return {"Action": list(READ_ACTIONS), "Resource": queue.arn}


def _decrypting(queue: QueueAddress, kms_key_arn: str) -> Json:
    through = f"sqs.{queue.region}.{aws_suffix(queue.region)}"
    return {
        "Action": list(KEY_READER_ACTIONS),
        "Resource": kms_key_arn,
        "Condition": {"StringEquals": {"kms:ViaService": through}},
    }


def _account_of(arn: str | None) -> str | None:
    parts = (arn or "").split(":")
    return parts[4] if len(parts) > 5 and parts[4] else None


def _document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}
