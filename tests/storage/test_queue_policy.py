"""The documents about a queue of events open that queue, and no more than has to be."""

import pytest

from graticule.discovery.queue_address import parse_queue
from graticule.storage.queue_policy import queue_policy, queue_session_policy

ARN = "arn:aws:sqs:eu-central-1:123456789012:lake-events"
QUEUE = parse_queue(ARN, partition="aws", region="eu-central-1")


def test_the_servers_session_reads_one_queue_and_nothing_else():
    [statement] = queue_session_policy(QUEUE)["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "Resource": ARN,
    }


@pytest.mark.parametrize("account", ["123456789012", "999999999999"])
def test_the_queue_is_opened_to_one_bucket_and_to_a_role_of_another_account(account):
    role = f"arn:aws:iam::{account}:role/lake"
    policy = queue_policy(QUEUE, "lake", role_arn=role)
    sends, *reads = policy["Statement"]
    assert sends == {
        "Sid": "BucketSends",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": ARN,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": "arn:aws:s3:::lake"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }
    assert [statement["Principal"] for statement in reads] == (
        [] if account == "123456789012" else [{"AWS": role}]
    )
