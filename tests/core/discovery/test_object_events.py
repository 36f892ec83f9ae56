"""Which objects the messages of stores are about."""

import json

import pytest

from graticule.discovery.object_events import ObjectEvent, object_events
from graticule.domain.errors import InvalidRequest


def s3(*objects):
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "lake"}, "object": item},
            }
            for item in objects
        ]
    }


def test_keys_of_s3_are_quoted_like_forms():
    found = object_events(
        s3({"key": "a+b/c%2Bd.parquet", "sequencer": "0055AED6DCD90281E5"}, {"key": "x%2Fy"})
    )
    assert found == [
        ObjectEvent("lake", "a b/c+d.parquet", "0055AED6DCD90281E5"),
        ObjectEvent("lake", "x/y"),
    ]


def test_keys_of_eventbridge_are_as_they_are():
    detail = {"bucket": {"name": "lake"}, "object": {"key": "a+b%20c", "sequencer": "01"}}
    message = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    assert object_events(message) == [ObjectEvent("lake", "a+b%20c", "01")]


def test_sns_hands_on_what_s3_says():
    wrapped = {"Type": "Notification", "Message": json.dumps(s3({"key": "k"}))}
    assert object_events(wrapped) == [ObjectEvent("lake", "k")]


def test_a_rename_in_seaweedfs_is_about_two_objects():
    message = {
        "key": "/buckets/lake/old/a.parquet",
        "event_type": "rename",
        "message_data": {
            "new_parent_path": "/buckets/lake/new",
            "new_entry": {"name": "b.parquet"},
        },
    }
    assert object_events(message) == [
        ObjectEvent("lake", "old/a.parquet"),
        ObjectEvent("lake", "new/b.parquet"),
    ]


def test_what_is_no_object_of_a_bucket_is_passed_over():
    assert object_events({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "lake"}) == []
    assert object_events({"key": "/etc/iam/x", "event_type": "create"}) == []
    assert object_events(s3({"key": "folder/"})) == []


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"Records": 3},
        {"Records": [{}]},
        {"Records": [{"s3": {"bucket": {"name": 1}, "object": {"key": "k"}}}]},
        s3({"key": "a\0b"}),
        s3({"key": "k" * 2000}),
        {"detail": []},
        {"Type": "Notification", "Message": "not JSON"},
        {"Type": "Notification", "Message": json.dumps({"Type": "Notification", "Message": "{}"})},
        {"event_type": "create", "key": 5},
    ],
)
def test_anything_else_is_refused(message):
    with pytest.raises(InvalidRequest):
        object_events(message)
