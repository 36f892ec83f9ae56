"""A queue is taken only where the integration is, whatever a user writes."""

import pytest

from graticule.discovery.queue_address import QueueAddress, check_queue_key, parse_queue
from graticule.domain.errors import InvalidRequest

HERE = {"partition": "aws", "region": "eu-central-1"}
ARN = "arn:aws:sqs:eu-central-1:123456789012:lake-events"
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/lake-events"


@pytest.mark.parametrize("text", [ARN, URL, URL.replace("https://sqs.eu", "HTTPS://SQS.eu")])
def test_an_arn_and_a_url_name_the_same_queue(text):
    assert parse_queue(text, **HERE) == QueueAddress(
        "aws", "eu-central-1", "123456789012", "lake-events", None
    )
    assert (parse_queue(text, **HERE).arn, parse_queue(text, **HERE).url) == (ARN, URL)


def test_a_queue_of_another_store_is_reached_at_the_stores_own_endpoint():
    store = {"partition": "aws", "region": "us-east-1", "endpoint": "http://store.internal:9000"}
    url = "http://store.internal:9000/000000000000/q"
    assert parse_queue("arn:aws:sqs:us-east-1:000000000000:q", **store).url == url
    assert parse_queue(url, **store).url == url


def test_queues_of_china_are_in_chinas_domain():
    found = parse_queue(
        "arn:aws-cn:sqs:cn-north-1:123456789012:q", partition="aws-cn", region="cn-north-1"
    )
    assert found.url == "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lake-events",
        "arn:aws:sns:eu-central-1:123456789012:lake-events",
        "arn:aws:sqs:eu-west-1:123456789012:lake-events",
        "arn:aws-cn:sqs:eu-central-1:123456789012:lake-events",
        "arn:aws:sqs:eu-central-1:123456789012:*",
        "arn:aws:sqs:eu-central-1:123456789012:q/x",
        "arn:aws:sqs:eu-central-1:123456789012:q.fifo",
        "http://sqs.eu-central-1.amazonaws.com/123456789012/q",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
        "https://sqs.eu-central-1.amazonaws.com.evil.example/123456789012/q",
        "https://sqs.eu-central-1.amazonaws.com@evil.example/123456789012/q",
        "https://evil.example/123456789012/q",
        "https://169.254.169.254/123456789012/q",
        "https://sqs.eu-central-1.amazonaws.com/123456789012/q?x=https://evil.example",
        "https://sqs.eu-central-1.amazonaws.com/123456789012/q/../r",
        "https://sqs.eu-central-1.amazonaws.com:8443/123456789012/q",
        "https://[::1/123456789012/q",
        "arn:aws:sqs:eu-central-1:123456789012:" + "q" * 81,
        "https://sqs.eu-central-1.amazonaws.com/123456789012/" + "q" * 600,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidRequest, match="queue"):
        parse_queue(text, **HERE)


KEY = "arn:aws:kms:eu-central-1:999999999999:key/mrk-1234abcd12ab34cd56ef1234567890ab"


def test_a_queue_has_a_key_of_its_own_region_and_of_whatever_account():
    assert check_queue_key(KEY, parse_queue(ARN, **HERE)) == KEY


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (KEY.replace("key/mrk-", "alias/"), "is not the ARN of a key"),
        (KEY.rpartition("/")[2], "is not the ARN of a key"),
        (f"{KEY}*", "is not the ARN of a key"),
        (ARN, "is not the ARN of a key"),
        (KEY.replace("eu-central-1", "eu-west-1"), "SQS takes only keys of its own region"),
        (KEY.replace("arn:aws:", "arn:aws-cn:"), "SQS takes only keys of its own region"),
    ],
)
def test_a_key_that_could_not_be_the_queues_is_refused(key, why):
    with pytest.raises(InvalidRequest, match=why):
        check_queue_key(key, parse_queue(ARN, **HERE))
