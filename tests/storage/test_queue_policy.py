"""The documents about a queue of events open that queue, and no more than has to be."""

import pytest

from graticule.discovery.queue_address import parse_queue
from graticule.storage.queue_policy import (
    key_statements,
    queue_policy,
    queue_reader_statements,
    queue_session_policy,
)

ARN = "arn:aws:sqs:eu-central-1:123456789012:lake-events"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
READS = {
    "Effect": "Allow",
    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
    "Resource": ARN,
}
DECRYPTS = {
    "Effect": "Allow",
    "Action": ["kms:Decrypt"],
    "Resource": KEY,
    "Condition": {"StringEquals": {"kms:ViaService": "sqs.eu-central-1.amazonaws.com"}},
}
QUEUE = parse_queue(ARN, partition="aws", region="eu-central-1")


def test_the_servers_session_reads_one_queue_and_nothing_else():
    assert queue_session_policy(QUEUE) == {"Version": "2012-10-17", "Statement": [READS]}
    assert queue_reader_statements(QUEUE) == [{"Sid": "ReadEvents", **READS}]


def test_of_an_encrypted_queue_the_one_key_may_be_used_through_its_service_only():
    assert queue_session_policy(QUEUE, KEY) == {
        "Version": "2012-10-17",
        "Statement": [READS, DECRYPTS],
    }
    assert queue_reader_statements(QUEUE, KEY) == [
        {"Sid": "ReadEvents", **READS},
        {"Sid": "DecryptEvents", **DECRYPTS},
    ]


def test_where_services_have_another_domain_the_key_is_used_through_that():
    queue = parse_queue(
        "arn:aws-cn:sqs:cn-north-1:123456789012:q", partition="aws-cn", region="cn-north-1"
    )
    key = "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1"
    _, decrypts = queue_session_policy(queue, key)["Statement"]
    assert decrypts["Condition"] == {
        "StringEquals": {"kms:ViaService": "sqs.cn-north-1.amazonaws.com.cn"}
    }


def test_the_key_is_opened_to_the_store_and_to_a_role_of_another_account():
    sends = {
        "Sid": "StoreEncryptsEvents",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": "*",
    }
    assert key_statements(QUEUE, KEY, role_arn=None) == [sends]
    assert key_statements(QUEUE, KEY, role_arn="arn:aws:iam::123456789012:role/lake") == [sends]
    stranger = "arn:aws:iam::999999999999:role/lake"
    assert key_statements(QUEUE, KEY, role_arn=stranger) == [
        sends,
        {
            "Sid": "RoleDecryptsEvents",
            "Principal": {"AWS": stranger},
            **DECRYPTS,
            "Resource": "*",
        },
    ]


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
