"""Snapshots, refs, the snapshot log, row lineage and statistics."""

import pytest

from graticule.domain.errors import CommitConflict, InvalidUpdate
from support.table_documents import (
    NOW_MS,
    add,
    append,
    applied,
    apply,
    creation,
    point,
    snapshot,
    table,
    table_with_snapshots,
)

MINUTE_MS = 60_000


def remove(*snapshot_ids):
    return {"action": "remove-snapshots", "snapshot-ids": list(snapshot_ids)}


def remove_ref(name):
    return {"action": "remove-snapshot-ref", "ref-name": name}


def log_of(document):
    return [entry["snapshot-id"] for entry in document["snapshot-log"]]


def ids_of(document):
    return [item["snapshot-id"] for item in document["snapshots"]]


def statistics(snapshot_id, path="s3://lake/t/a.puffin"):
    return {
        "snapshot-id": snapshot_id,
        "statistics-path": path,
        "file-size-in-bytes": 10,
        "file-footer-size-in-bytes": 4,
        "blob-metadata": [],
    }


def partition_statistics(snapshot_id, path="s3://lake/t/p.parquet"):
    return {"snapshot-id": snapshot_id, "statistics-path": path, "file-size-in-bytes": 10}


def set_statistics(snapshot_id, **more):
    return {"action": "set-statistics", "statistics": statistics(snapshot_id, **more)}


def set_partition_statistics(snapshot_id):
    return {
        "action": "set-partition-statistics",
        "partition-statistics": partition_statistics(snapshot_id),
    }


def test_an_append_moves_main_the_log_and_the_sequence_number():
    after = apply(append(7, **{"schema-id": None}), table())
    added = {k: v for k, v in snapshot(7).items() if k != "schema-id"}
    assert {
        key: after[key] for key in ("snapshots", "refs", "snapshot-log", "current-snapshot-id")
    } == {
        "snapshots": [added],
        "refs": {"main": {"snapshot-id": 7, "type": "branch"}},
        "snapshot-log": [{"snapshot-id": 7, "timestamp-ms": NOW_MS + 7}],
        "current-snapshot-id": 7,
    }
    assert after["last-sequence-number"] == 7


def test_snapshot_ids_stay_exact_beyond_53_bits():
    big = 2**63 - 1
    after = apply(
        [add(snapshot(big, 1)), point("main", big)],
        table(),
    )
    assert (ids_of(after), after["current-snapshot-id"]) == ([big], big)


@pytest.mark.parametrize(("version", "empty"), [(1, -1), (2, -1), (3, None)])
def test_a_table_without_a_snapshot_says_so_as_its_version_does(version, empty):
    assert table(version)["current-snapshot-id"] == empty
    assert apply(creation(version), None)["current-snapshot-id"] == empty


@pytest.mark.parametrize("version", [2, 3])
def test_a_stale_sequence_number_is_a_conflict_that_may_be_tried_again(version):
    base = table_with_snapshots(1, 2, version=version)
    stale = snapshot(9, 2, **{"parent-snapshot-id": 1, "first-row-id": 20, "added-rows": 1})
    with pytest.raises(CommitConflict) as conflict:
        apply([add(stale)], base)
    assert conflict.value.message == (
        "Validation failed, please retry: Cannot add snapshot with sequence number 2 older than "
        "last sequence number 2"
    )


def test_a_snapshot_without_a_parent_may_be_stale_and_moves_nothing_back():
    base = table_with_snapshots(1, 5)
    after = apply([add(snapshot(9, 3))], base)
    assert (after["last-sequence-number"], ids_of(after)) == (5, [1, 5, 9])


def test_version_1_has_no_sequence_numbers():
    with pytest.raises(InvalidUpdate, match="Sequence number must be 0 in v1"):
        apply([add(snapshot(1))], table(1))
    after = apply([add(snapshot(1, 0)), point("main", 1)], table(1))
    assert "last-sequence-number" not in after


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (snapshot(1), "Snapshot already exists for id: 1"),
        (snapshot(2, **{"manifest-list": None}), "`manifest-list`"),
        (snapshot(2, **{"timestamp-ms": None}), "`timestamp-ms`"),
        (snapshot(2, **{"snapshot-id": "2"}), "`snapshot-id`"),
        (snapshot(2, **{"snapshot-id": 2**63}), "between"),
        (snapshot(2, summary={"operation": 1}), "`summary`"),
        (
            snapshot(2, **{"sequence-number": None, "parent-snapshot-id": 1}),
            "sequence-number is null",
        ),
        (None, "`snapshot` must be an object"),
    ],
)
def test_a_snapshot_that_cannot_be_added_is_the_clients_error(change, message):
    with pytest.raises(InvalidUpdate, match=message):
        apply([add(change)], table_with_snapshots(1))


@pytest.mark.parametrize(
    ("count", "missing"), [(2, "schema"), (4, "partition spec"), (6, "sort order")]
)
def test_a_snapshot_needs_a_schema_a_spec_and_a_sort_order_before_it(count, missing):
    with pytest.raises(InvalidUpdate, match=f"before a {missing} is added"):
        apply([*creation()[:count], add(snapshot(1))], None)


def test_row_ids_are_handed_out_without_overlap():
    after = apply(append(1, **{"first-row-id": 0, "added-rows": 100}), table(3))
    later = apply(append(2, 1, **{"first-row-id": 150, "added-rows": 5}), after)
    assert (after["next-row-id"], later["next-row-id"]) == (100, 155)


@pytest.mark.parametrize(
    ("lineage", "failure", "message"),
    [
        ({}, InvalidUpdate, "Cannot add a snapshot: first-row-id is null"),
        ({"first-row-id": 10}, InvalidUpdate, "Invalid added-rows"),
        ({"first-row-id": 10, "added-rows": -1}, InvalidUpdate, "between"),
        (
            {"first-row-id": 9, "added-rows": 1},
            CommitConflict,
            "first-row-id is behind table next-row-id: 9 < 10",
        ),
    ],
)
def test_version_3_demands_row_ids_that_are_not_taken(lineage, failure, message):
    base = table_with_snapshots(1, version=3)
    with pytest.raises(failure, match=message):
        apply(append(2, 1, **lineage), base)


def test_an_upgrade_to_version_3_begins_row_ids_at_0():
    upgrade = {"action": "upgrade-format-version", "format-version": 3}
    assert apply([upgrade], table(2))["next-row-id"] == 0


def test_refs_are_replaced_whole_and_equal_ones_change_nothing():
    base = apply([point("b", 1, **{"max-ref-age-ms": 5})], table_with_snapshots(1))
    same = applied([point("b", 1, **{"max-ref-age-ms": 5, "max-snapshot-age-ms": None})], base)
    bare = apply([point("b", 1, type="TAG")], base)
    assert not same.changed
    assert bare["refs"]["b"] == {"snapshot-id": 1, "type": "tag"}


def test_retention_of_main_can_change_without_a_word_in_the_log():
    base = table_with_snapshots(1)
    after = apply([point("main", 1, **{"min-snapshots-to-keep": 3})], base)
    assert after["refs"]["main"]["min-snapshots-to-keep"] == 3
    assert after["snapshot-log"] == base["snapshot-log"]


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (point("b", 9), "Cannot set b to unknown snapshot: 9"),
        (point("main", 1, type="tag"), "must be a branch"),
        (point("b", 1, type="leaf"), "`branch` or `tag`"),
        (point("b", 1, type=None), "`type`"),
        (point("b", 1, type="tag", **{"min-snapshots-to-keep": 1}), "Tags do not support"),
        (point("b", 1, type="tag", **{"max-snapshot-age-ms": 1}), "Tags do not support"),
        (point("b", 1, **{"min-snapshots-to-keep": 0}), "between"),
        (point("b", 1, **{"max-ref-age-ms": 0}), "between"),
        (point("", 1), "`ref-name`"),
    ],
)
def test_a_ref_that_cannot_be_set_is_the_clients_error(update, message):
    with pytest.raises(InvalidUpdate, match=message):
        apply([update], table_with_snapshots(1))


def test_a_rollback_is_logged_at_the_time_of_the_commit():
    after = apply([point("main", 1)], table_with_snapshots(1, 2), now_ms=NOW_MS + 5_000)
    assert after["snapshot-log"][-1] == {"snapshot-id": 1, "timestamp-ms": NOW_MS + 5_000}
    assert after["current-snapshot-id"] == 1


def test_removing_a_missing_ref_changes_nothing():
    assert not applied([remove_ref("gone")], table_with_snapshots(1)).changed


def test_a_replaced_table_keeps_its_history():
    base = table_with_snapshots(1, 2)
    emptied = apply([remove_ref("main")], base)
    replaced = apply([remove_ref("main"), add(snapshot(3)), point("main", 3)], base)
    assert (emptied["current-snapshot-id"], emptied["refs"]) == (-1, {})
    assert (log_of(emptied), ids_of(emptied)) == ([1, 2], [1, 2])
    assert (log_of(replaced), replaced["current-snapshot-id"]) == ([1, 2, 3], 3)


def test_a_snapshot_replaced_within_its_own_commit_never_was_current():
    after = apply(
        [*append(7, 1), add(snapshot(8, 8, **{"parent-snapshot-id": 7})), point("main", 8)],
        table_with_snapshots(1),
    )
    assert (log_of(after), ids_of(after)) == ([1, 8], [1, 7, 8])


def test_an_intermediate_snapshot_may_be_removed_in_its_own_commit_without_loss_of_history():
    after = apply([*append(7, 1), *append(8, 7), remove(7)], table_with_snapshots(1))
    assert (log_of(after), ids_of(after)) == ([1, 8], [1, 8])


def test_history_before_a_removed_snapshot_is_cleared():
    after = apply([remove(2)], table_with_snapshots(1, 2, 3, 4))
    assert (log_of(after), ids_of(after)) == ([3, 4], [1, 3, 4])


def test_removing_snapshots_takes_dangling_refs_and_statistics_along_but_not_children():
    base = apply(
        [
            point("old", 1),
            point("tag", 1, type="tag"),
            point("fork", 2),
            set_statistics(1),
            set_statistics(3),
            set_partition_statistics(1),
        ],
        table_with_snapshots(1, 2, 3),
    )
    after = apply([remove(1, 404)], base)
    assert after["refs"].keys() == {"main", "fork"}
    assert after["statistics"] == [statistics(3)]
    assert after["partition-statistics"] == []
    assert after["snapshots"][0]["parent-snapshot-id"] == 1


def test_removing_the_current_snapshot_empties_main():
    after = apply([remove(2)], table_with_snapshots(1, 2))
    assert (after["current-snapshot-id"], after["refs"], log_of(after)) == (-1, {}, [])


def test_removing_only_unknown_snapshots_changes_nothing():
    assert not applied([remove(404)], table_with_snapshots(1)).changed


def test_a_log_that_lacks_the_current_snapshot_is_completed_when_it_is_touched():
    base = table_with_snapshots(1, 2) | {"snapshot-log": []}
    after = apply([remove(1)], base, now_ms=NOW_MS + 9)
    assert after["snapshot-log"] == [{"snapshot-id": 2, "timestamp-ms": NOW_MS + 9}]


def test_a_commit_from_a_fast_clock_leaves_a_table_that_clients_can_load():
    hour_ms = 60 * MINUTE_MS
    fast = apply(append(1, **{"timestamp-ms": NOW_MS + hour_ms}), table(), now_ms=NOW_MS)
    assert fast["last-updated-ms"] == NOW_MS + hour_ms
    right = apply(append(2, 1, **{"timestamp-ms": NOW_MS + 5}), fast, now_ms=NOW_MS + 5)
    assert [e["timestamp-ms"] for e in right["snapshot-log"]] == [NOW_MS + hour_ms] * 2
    assert right["last-updated-ms"] == NOW_MS + hour_ms


def test_a_small_skew_is_left_as_it_is():
    base = apply(append(1, **{"timestamp-ms": NOW_MS}), table())
    after = apply(append(2, 1, **{"timestamp-ms": NOW_MS - MINUTE_MS}), base)
    assert after["snapshot-log"][-1]["timestamp-ms"] == NOW_MS - MINUTE_MS


def test_a_clock_that_jumped_back_never_moves_a_table_back_in_time():
    assert apply(append(1), table(), now_ms=5)["last-updated-ms"] == NOW_MS + 1


def test_statistics_replace_those_of_their_snapshot():
    base = apply([set_statistics(1), set_partition_statistics(1)], table_with_snapshots(1))
    after = apply([set_statistics(1, path="s3://lake/t/b.puffin")], base)
    assert after["statistics"] == [statistics(1, path="s3://lake/t/b.puffin")]
    assert after["partition-statistics"] == [partition_statistics(1)]
    assert not applied([set_statistics(1), set_partition_statistics(1)], base).changed


@pytest.mark.parametrize("action", ["remove-statistics", "remove-partition-statistics"])
def test_statistics_are_removed_by_snapshot_and_missing_ones_pass(action):
    base = apply([set_statistics(1), set_partition_statistics(1)], table_with_snapshots(1))
    after = apply([{"action": action, "snapshot-id": 1}], base)
    assert after[action.removeprefix("remove-")] == []
    assert not applied([{"action": action, "snapshot-id": 2}], base).changed
