"""The commit as a whole, and updates of the table itself."""

import pytest

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg import members
from graticule.iceberg.document_updates import UPDATES_MAX
from graticule.iceberg.metadata import check_document
from graticule.iceberg.updates import UPDATES, Applied
from support.table_documents import (
    FILE,
    LOCATION,
    NOW_MS,
    UUID,
    add,
    append,
    applied,
    apply,
    creation,
    order,
    part,
    point,
    schema,
    snapshot,
    spec,
    table,
    table_with_snapshots,
)


def properties(**changes):
    return {"action": "set-properties", "updates": changes}


def key(key_id, **more):
    return {"key-id": key_id, "encrypted-key-metadata": "a2V5"} | more


def add_key(value):
    return {"action": "add-encryption-key", "encryption-key": value}


OWNER = properties(owner="ana")


def test_all_23_table_updates_are_served():
    assert len(UPDATES) == 23


def test_actions_compare_without_regard_to_case():
    after = apply([{"action": "SET-Properties", "updates": {"a": "b"}}], table())
    assert after["properties"]["a"] == "b"


def test_properties_are_set_and_removed_under_their_legacy_names_too():
    base = apply([{"action": "set-properties", "updated": {"a": "1", "b": ""}}], table())
    after = apply(
        [
            {"action": "remove-properties", "removed": ["a", "never-there"]},
            {"action": "remove-properties", "removals": ["b"], "removed": None},
        ],
        base,
    )
    assert base["properties"] | {"a": "1", "b": ""} == base["properties"]
    assert {"a", "b"} & after["properties"].keys() == set()


@pytest.mark.parametrize(
    "without_effect",
    [
        [],
        [properties()],
        [OWNER],
        [{"action": "remove-properties", "removals": ["never-there"]}],
        [{"action": "set-location", "location": LOCATION + "/"}],
        [{"action": "upgrade-format-version", "format-version": 2}],
        [{"action": "assign-uuid", "uuid": UUID.upper()}],
        [{"action": "set-current-schema", "schema-id": 0}],
        [{"action": "add-schema", "schema": schema()}],
        [point("main", 1)],
        [add_key(key("k"))],
        [{"action": "remove-encryption-key", "key-id": "other"}],
    ],
    ids=lambda updates: updates[0]["action"] if updates else "nothing",
)
def test_updates_without_effect_give_back_the_document_itself(without_effect):
    base = apply([OWNER, add_key(key("k"))], table_with_snapshots(1))
    outcome = applied(without_effect, base, file=FILE)
    assert outcome == Applied(base, changed=False, expired_metadata_files=())
    assert outcome.document is base


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"action": "fly"}, "unknown table update `fly`"),
        ({"action": "add-view-version"}, "unknown table update `add-view-version`"),
        ({}, "`action` of an update"),
        ("set-properties", "an update must be an object"),
        ({"action": "set-properties"}, "`updates` of `set-properties` must be an object"),
        (properties(a=None), "the value of `a` must be a text"),
        (properties(a=1), "the value of `a` must be a text"),
        ({"action": "remove-properties", "removals": "a"}, "must be an array"),
        ({"action": "set-location", "location": "/"}, "`location`"),
        ({"action": "assign-uuid", "uuid": "42"}, "`42` is not a UUID"),
        (
            {"action": "assign-uuid", "uuid": UUID.replace("9", "8")},
            "Cannot reassign uuid of an existing table",
        ),
        ({"action": "upgrade-format-version", "format-version": 1}, "Cannot downgrade v2 table"),
        (
            {"action": "upgrade-format-version", "format-version": 4},
            r"Cannot upgrade table to unsupported format version: v4 \(supported: v3\)",
        ),
        ({"action": "upgrade-format-version", "format-version": "3"}, "must be an integer"),
        (add_key(key("k", **{"encrypted-key-metadata": "not base64!"})), "must be base64"),
        (add_key(key("k", **{"encrypted-key-metadata": "é"})), "must be base64"),
        (properties(**{"s3.endpoint": "https://evil"}), "`s3.endpoint` is refused"),
    ],
)
def test_an_unknown_or_malformed_update_is_the_clients_error(update, message):
    with pytest.raises(InvalidUpdate, match=message):
        apply([update], table())


def test_there_is_a_largest_number_of_updates():
    with pytest.raises(InvalidUpdate, match="more than"):
        apply([properties()] * (UPDATES_MAX + 1), table())


def test_there_is_a_deepest_nesting_of_an_update():
    deep = {}
    for _ in range(members.NESTING_LEVELS_MAX + 1):
        deep = {"a": deep}
    with pytest.raises(InvalidUpdate, match="nested more than"):
        apply([properties() | {"x": deep}], table())


def test_a_failed_commit_leaves_the_document_as_it_was():
    base = table()
    with pytest.raises(InvalidUpdate):
        apply([OWNER, *append(1), {"action": "fly"}], base)
    with pytest.raises(InvalidUpdate):
        apply([OWNER, *append(1), point("main", 2)], base)
    assert base == table()


def test_a_location_loses_its_trailing_slash():
    after = apply([{"action": "set-location", "location": "s3://lake/elsewhere/"}], table())
    assert after["location"] == "s3://lake/elsewhere"


def test_encryption_keys_are_kept_whole_and_removed_by_id():
    more = {"encrypted-by-id": "root", "properties": {"a": "b"}, "future": 1}
    base = apply([add_key(key("k1", **more)), add_key(key("k2"))], table(3))
    after = apply([{"action": "remove-encryption-key", "key-id": "k2"}], base)
    assert (base["encryption-keys"], after["encryption-keys"]) == (
        [key("k1", **more), key("k2")],
        [key("k1", **more)],
    )


def test_the_previous_file_is_logged_with_the_time_it_was_current_since():
    after = apply([OWNER], table(), file=FILE, now_ms=NOW_MS + 77)
    assert after["metadata-log"] == [{"timestamp-ms": NOW_MS, "metadata-file": FILE}]
    assert after["last-updated-ms"] == NOW_MS + 77


@pytest.mark.parametrize(
    ("maximum", "kept", "expired"),
    [
        ("2", ["f2", "f3"], ("f0", "f1")),
        ("0", ["f3"], ("f0", "f1", "f2")),
        ("-5", ["f3"], ("f0", "f1", "f2")),
        ("many", ["f0", "f1", "f2", "f3"], ()),
    ],
)
def test_the_metadata_log_is_trimmed_and_expired_files_are_named_on_request(maximum, kept, expired):
    base = table()
    for i in range(3):
        base = apply([properties(a=str(i))], base, file=f"f{i}")
    trim = {"write.metadata.previous-versions-max": maximum}
    delete = {"write.metadata.delete-after-commit.enabled": "True"}
    silent = applied([properties(**trim)], base, file="f3")
    loud = applied([properties(**trim, **delete)], base, file="f3")
    assert [entry["metadata-file"] for entry in loud.document["metadata-log"]] == kept
    assert (silent.expired_metadata_files, loud.expired_metadata_files) == ((), expired)


def test_the_metadata_log_keeps_100_files_by_default():
    base = table()
    for i in range(102):
        base = apply([properties(a=str(i))], base, file=f"f{i}")
    assert [len(base["metadata-log"]), base["metadata-log"][0]["metadata-file"]] == [100, "f2"]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_table_can_be_created_by_commit_in_every_version(version):
    partitioned = [
        {"action": "add-spec", "spec": spec(part(1, "id"))},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": order(2)},
        {"action": "set-default-sort-order", "sort-order-id": -1},
    ]
    changes = creation(version)
    changes[4:8] = partitioned
    outcome = applied(changes, None, now_ms=NOW_MS)
    sequence = {} if version == 1 else {"last-sequence-number": 0}
    twice = {
        "schema": schema(),
        "partition-spec": [part(1, "id", **{"field-id": 1000})],
    }
    assert outcome.changed
    assert outcome.document == {
        "format-version": version,
        "table-uuid": UUID,
        "location": LOCATION,
        **sequence,
        "last-updated-ms": NOW_MS,
        "last-column-id": 2,
        **(twice if version == 1 else {}),
        "current-schema-id": 0,
        "schemas": [schema()],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": [part(1, "id", **{"field-id": 1000})]}],
        "last-partition-id": 1000,
        "default-sort-order-id": 1,
        "sort-orders": [order(2)],
        "properties": {"owner": "ana"},
        "current-snapshot-id": None if version == 3 else -1,
        **({"next-row-id": 0} if version == 3 else {}),
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }
    check_document(outcome.document)


def test_a_table_created_by_commit_may_be_born_with_data():
    after = apply(creation(2, *append(1)), None)
    assert (after["current-snapshot-id"], after["metadata-log"]) == (1, [])


def test_a_created_table_has_version_2_unless_the_commit_says_otherwise():
    changes = [u for u in creation() if u["action"] != "upgrade-format-version"]
    assert apply(changes, None)["format-version"] == 2


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("assign-uuid", "UUID is required"),
        ("add-schema", "no schema has been added"),
        ("add-spec", "no partition spec has been added"),
        ("add-sort-order", "no sort order has been added"),
        ("set-location", "needs a location"),
    ],
)
def test_a_create_commit_must_be_complete(missing, message):
    with pytest.raises(InvalidUpdate, match=message):
        apply([u for u in creation() if u["action"] != missing], None)


@pytest.mark.parametrize("changes", [[], [OWNER], creation()[:2]])
def test_a_create_commit_without_definitions_is_the_clients_error(changes):
    with pytest.raises(InvalidUpdate):
        apply(changes, None)


def test_a_version_1_table_of_early_writers_is_brought_up_to_date():
    early = {
        "format-version": 1,
        "location": LOCATION,
        "last-updated-ms": NOW_MS,
        "last-column-id": 2,
        "schema": {"type": "struct", "fields": schema()["fields"]},
        "partition-spec": [part(1, "id")],
        "properties": None,
        "current-snapshot-id": 1,
        "snapshots": [{k: v for k, v in snapshot(1, 0).items() if k != "sequence-number"}],
        "snapshot-log": None,
    }
    check_document(early)
    after = apply([OWNER], early)
    assert (after["schemas"], after["current-schema-id"]) == ([schema()], 0)
    assert after["partition-specs"] == [
        {"spec-id": 0, "fields": [{"field-id": 1000} | part(1, "id")]}
    ]
    assert (after["last-partition-id"], after["sort-orders"]) == (1000, [order()])
    assert after["refs"] == {"main": {"snapshot-id": 1, "type": "branch"}}
    check_document(after)


def test_a_version_1_table_without_a_uuid_can_be_given_one():
    bare = {k: v for k, v in table(1).items() if k != "table-uuid"}
    upgrade = {"action": "upgrade-format-version", "format-version": 2}
    with pytest.raises(InvalidUpdate, match="UUID is required in format v2"):
        apply([upgrade], bare)
    after = apply([{"action": "assign-uuid", "uuid": UUID}, upgrade], bare)
    assert after["table-uuid"] == UUID


def test_a_small_commit_shares_the_snapshots_that_it_does_not_touch():
    base = table() | {
        "snapshots": [snapshot(i) for i in range(1, 10_001)],
        "last-sequence-number": 10_000,
    }
    after = apply([add(snapshot(10_001))], base)
    assert all(
        old is new for old, new in zip(base["snapshots"], after["snapshots"][:-1], strict=True)
    )
