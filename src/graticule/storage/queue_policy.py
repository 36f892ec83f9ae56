"""IAM policy documents about a queue of events: who may fill it, and who may read it.  Pure."""

from typing import Any, Final

from graticule.discovery.queue_address import QueueAddress

Json = dict[str, Any]

READ_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def queue_session_policy(queue: QueueAddress) -> Json:
    """What the server's session for a queue may do: read this one, and nothing else."""
    return _document({"Effect": "Allow", **_reading(queue)})


def queue_reader_statement(queue: QueueAddress) -> Json:
    """What an admin adds to the policy of the integration's role or user."""
    return {"Sid": "ReadEvents", "Effect": "Allow", **_reading(queue)}


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


def _reading(queue: QueueAddress) -> Json:
    return {"Action": list(READ_ACTIONS), "Resource": queue.arn}


def _account_of(role_arn: str | None) -> str | None:
    parts = (role_arn or "").split(":")
    return parts[4] if len(parts) > 5 and parts[4] else None


def _document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}
