"""A commit that a table already holds is told from one that it does not."""

import pytest

from graticule.iceberg.replays import is_already_applied, is_same_creation

UUID = "0197c6f0-0000-7000-8000-000000000001"
DOCUMENT = {"table-uuid": UUID, "snapshots": [{"snapshot-id": 1}, {"snapshot-id": 2}]}


def add(snapshot_id):
    return {"action": "add-snapshot", "snapshot": {"snapshot-id": snapshot_id}}


def point_main_at(snapshot_id):
    return {"action": "set-snapshot-ref", "ref-name": "main", "snapshot-id": snapshot_id}


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([add(1), point_main_at(1)], True),
        ([add(1), point_main_at(1), add(2), point_main_at(2)], True),
        ([{**add(2), "action": "ADD-SNAPSHOT"}, point_main_at(2)], True),
        ([add(3), point_main_at(3)], False),
        ([add(1), add(3), point_main_at(3)], False),
        ([point_main_at(1)], False),
        ([add(1), point_main_at(2)], False),
        ([add(1), {"action": "set-properties", "updates": {}}], False),
        ([{"action": "add-snapshot", "snapshot": None}], False),
        ([{}], False),
        ([], False),
    ],
)
def test_only_snapshots_that_are_all_there_make_a_replay(updates, expected):
    assert is_already_applied(updates, DOCUMENT) is expected


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ([{"action": "assign-uuid", "uuid": UUID}], True),
        ([{"action": "assign-uuid", "uuid": UUID.upper()}, add(1)], True),
        ([{"action": "assign-uuid", "uuid": UUID}, add(3)], False),
        ([{"action": "assign-uuid", "uuid": UUID.replace("1", "2")}], False),
        ([add(1)], False),
        ([], False),
    ],
)
def test_a_creation_is_known_by_its_uuid_and_snapshots(updates, expected):
    assert is_same_creation(updates, DOCUMENT) is expected
