"""The rules of view commits: versions, schemas, history, dialects."""

import copy

import pytest

from graticule.domain.errors import CommitConflict, InvalidUpdate, InvalidViewVersion
from graticule.iceberg import document_draft, requirements
from graticule.iceberg.view_metadata import check_document, is_compressed
from graticule.iceberg.view_updates import apply, new_view

NOW = 1_790_000_000_000
LATER = NOW + 1_000
UUID = "019a0000-0000-7000-8000-000000000001"


def schema(*names, schema_id=0):
    fields = [
        {"id": i, "name": name, "type": "long", "required": False}
        for i, name in enumerate(names, start=3)
    ]
    return {"type": "struct", "schema-id": schema_id, "fields": fields}


def version(sql="select 1", *, dialect="spark", at=NOW, **members):
    return {
        "version-id": 7,
        "schema-id": 0,
        "timestamp-ms": at,
        "summary": {"engine-name": "test"},
        "default-namespace": ["ns"],
        "representations": [{"type": "sql", "sql": sql, "dialect": dialect}],
    } | {key.replace("_", "-"): value for key, value in members.items()}


def sql(text, dialect="spark"):
    return {"type": "sql", "sql": text, "dialect": dialect}


def view(**changes):
    made = new_view(
        schema=schema("a", schema_id=5),
        version=version(),
        location="s3://lake/v/",
        properties={},
        view_uuid=UUID,
        now_ms=NOW,
    )
    return made | changes


def add_version(added=None, **members):
    return {"action": "add-view-version", "view-version": added or version(**members)}


def add_schema(*names):
    return {"action": "add-schema", "schema": schema(*names)}


def set_current(version_id=-1):
    return {"action": "set-current-view-version", "view-version-id": version_id}


def set_properties(**properties):
    return {"action": "set-properties", "updates": properties}


def applied(updates, base=None):
    base = base or view()
    before = copy.deepcopy(base)
    result = apply(updates, base, now_ms=LATER)
    assert base == before, "the base was changed"
    assert result.changed or result.document is base
    check_document(result.document)
    return result.document


def replaced(base, text, **members):
    return applied([add_version(sql=text, **members), set_current()], base)


def log(document):
    return [(entry["version-id"], entry["timestamp-ms"]) for entry in document["version-log"]]


def ids(document):
    return [item["version-id"] for item in document["versions"]]


def test_a_new_view_has_one_schema_one_version_and_one_entry_in_its_log():
    first = version(schema_id=0, version_id=1)
    assert view() == {
        "view-uuid": UUID,
        "format-version": 1,
        "location": "s3://lake/v",
        "properties": {},
        "schemas": [schema("a", schema_id=0)],
        "current-version-id": 1,
        "versions": [first],
        "version-log": [{"timestamp-ms": NOW, "version-id": 1}],
    }
    check_document(view())


def test_a_replacement_becomes_current_and_is_logged_with_its_own_time():
    updates = [
        add_schema("b"),
        add_version(sql="select 2", version_id=2, schema_id=-1, timestamp_ms=NOW + 9),
        set_current(),
    ]
    assert applied(updates) == view() | {
        "schemas": [schema("a", schema_id=0), schema("b", schema_id=1)],
        "current-version-id": 2,
        "versions": [
            version(version_id=1),
            version("select 2", version_id=2, schema_id=1, timestamp_ms=NOW + 9),
        ],
        "version-log": [
            {"timestamp-ms": NOW, "version-id": 1},
            {"timestamp-ms": NOW + 9, "version-id": 2},
        ],
    }


@pytest.mark.parametrize(
    ("wanted", "given"),
    [(1, 2), (2, 2), (7, 7)],
    ids=["a taken id", "the next id", "an id beyond all others"],
)
def test_a_new_version_never_takes_an_old_id(wanted, given):
    document = applied([add_version(sql="select 2", version_id=wanted), set_current()])
    assert (ids(document), document["current-version-id"]) == ([1, given], given)


def test_replacements_made_from_the_same_state_follow_each_other():
    first = replaced(view(), "select 2", version_id=2)
    second = replaced(first, "select 3", version_id=2)
    assert (ids(second), second["current-version-id"]) == ([1, 2, 3], 3)


def test_an_equal_version_is_reused_whatever_its_id_and_time():
    base = replaced(view(), "select 2")
    again = replaced(base, "select 1", at=LATER, version_id=99)
    assert (ids(again), again["current-version-id"]) == (ids(base), 1)
    assert log(again) == [(1, NOW), (7, NOW), (1, LATER)], "reactivated by this commit, now"


@pytest.mark.parametrize(
    "difference",
    [
        {"summary": {"engine-name": "other"}},
        {"default_catalog": "c"},
        {"default_namespace": []},
        {"representations": [sql("select 1", "trino"), sql("select 1")]},
        {"of_the_future": 1},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_a_version_that_differs_in_anything_else_is_another_one(difference):
    assert len(applied([add_version(**difference), set_current()])["versions"]) == 2


def test_a_replacement_that_is_sent_again_changes_nothing():
    updates = [add_schema("b"), add_version(sql="select 2", schema_id=-1), set_current()]
    once = applied(updates)
    assert apply(updates, once, now_ms=LATER).changed is False


@pytest.mark.parametrize(
    "updates",
    [
        [],
        [add_schema("a")],
        [add_version()],
        [set_current(1)],
        [set_properties()],
        [{"action": "set-location", "location": "s3://lake/v"}],
        [{"action": "remove-properties", "removals": ["absent"]}],
        [{"action": "assign-uuid", "uuid": UUID.upper()}],
        [{"action": "upgrade-format-version", "format-version": 1}],
    ],
    ids=str,
)
def test_updates_without_effect_leave_the_very_document(updates):
    base = view()
    assert apply(updates, base, now_ms=LATER).document is base


def test_schemas_are_reused_and_count_on_from_zero():
    document = applied([add_schema("b"), add_schema("a"), add_schema("b"), add_schema("c")])
    assert [item["schema-id"] for item in document["schemas"]] == [0, 1, 2]
    pointed = applied([add_schema("b"), add_schema("a"), add_version(sql="x", schema_id=-1)])
    assert pointed["versions"][1]["schema-id"] == 0, "what was added last was there already"


def test_a_version_may_be_added_without_becoming_current():
    document = applied([add_version(sql="select 2")])
    assert (len(document["versions"]), log(document)) == (2, [(1, NOW)])


def test_one_commit_leaves_one_entry_in_the_log():
    document = applied(
        [add_version(sql="select 2"), set_current(), add_version(sql="select 3"), set_current()]
    )
    assert [version_id for version_id, _ in log(document)] == [1, 8]


def test_the_oldest_versions_expire_and_history_has_no_gaps():
    base = applied([set_properties(**{"version.history.num-entries": "2"})])
    for number in range(2, 5):
        base = replaced(base, f"select {number}", version_id=number)
    assert (ids(base), [v for v, _ in log(base)]) == ([3, 4], [3, 4])
    back = applied([set_current(3)], base)
    forth = replaced(back, "select 5", version_id=5)
    assert ids(forth) == [4, 5], "the version that was current until now is not kept for it"
    assert [v for v, _ in log(forth)] == [5], "what came before the gap is cleared"


def test_what_a_commit_adds_is_kept_beyond_the_limit_and_so_is_the_current_version():
    base = applied([set_properties(**{"version.history.num-entries": "1"})])
    document = applied([add_version(sql="select 2"), add_version(sql="select 3")], base)
    assert ids(document) == [1, 7, 8]
    assert ids(applied([set_properties(owner="ana")], document)) == [1]


def test_ten_versions_are_kept_by_default():
    base = view()
    for number in range(2, 14):
        base = replaced(base, f"select {number}", version_id=number)
    assert ids(base) == list(range(4, 14))


@pytest.mark.parametrize("size", ["0", "-1", "many", "", "1.5"])
def test_a_history_without_a_size_is_refused(size):
    with pytest.raises(
        InvalidUpdate, match=r"version\.history\.num-entries must be positive but was"
    ):
        applied([set_properties(**{"version.history.num-entries": size})])


def test_a_dialect_is_lost_only_where_that_is_allowed():
    updates = [add_version(sql="select 2", dialect="trino"), set_current()]
    with pytest.raises(InvalidUpdate, match="Cannot replace view due to loss of view dialects"):
        applied(updates)
    allowed = {"replace.drop-dialect.allowed": "TRUE"}
    assert applied([set_properties(**allowed), *updates])["current-version-id"] == 7
    assert (
        applied([add_version(sql="x", dialect="SPARK"), set_current()])["current-version-id"] == 7
    )


def test_one_dialect_has_one_query_whatever_its_case():
    twice = [sql("select 1", "Trino"), sql("select 2", "trino")]
    message = "Invalid view version: Cannot add multiple queries for dialect trino"
    with pytest.raises(InvalidViewVersion) as refused:
        applied([add_version(representations=twice)])
    assert refused.value.message == message


def refused_version(**members):
    return [add_version(**members)]


@pytest.mark.parametrize(
    ("updates", "reason"),
    [
        ([set_current()], "no view version has been added"),
        ([set_current(9)], "Cannot set current version to unknown version: 9"),
        ([add_version(sql="x", schema_id=-1)], "no schema has been added"),
        ([add_version(sql="x", schema_id=4)], "Cannot add version with unknown schema: 4"),
        (refused_version(representations=[]), "at least one representation"),
        (
            refused_version(representations=[{"type": "substrait", "plan": ""}]),
            r"Found unsupported view representations: \[substrait\]",
        ),
        (refused_version(representations=[{"type": "sql", "sql": "x"}]), "`dialect`"),
        (refused_version(summary=None), "`summary`"),
        (refused_version(default_namespace="ns"), "`default-namespace`"),
        (refused_version(default_namespace=[1]), "`default-namespace`"),
        (refused_version(timestamp_ms=-1), "`timestamp-ms`"),
        (refused_version(version_id=True), "`version-id`"),
        (refused_version(sql="x", version_id=2**31), "`version-id`"),
        ([{"action": "add-view-version"}], "a view version must be an object"),
        ([{"action": "add-schema", "schema": {"fields": 1}}], "`fields`"),
        ([{"action": "assign-uuid", "uuid": "other"}], "Cannot reassign uuid"),
        ([{"action": "upgrade-format-version", "format-version": 0}], "Cannot downgrade v1 view"),
        ([{"action": "upgrade-format-version", "format-version": 2}], "Unsupported format version"),
        ([{"action": "set-location", "location": ""}], "`location`"),
        ([set_properties(**{"s3.endpoint": "http://evil"})], "`s3.endpoint` is refused"),
        ([{"action": "add-snapshot", "snapshot": {}}], "unknown view update `add-snapshot`"),
        ([{"action": "set-current-schema", "schema-id": 0}], "unknown view update"),
        (["nonsense"], "an update must be an object"),
        ("nonsense", "`updates` must be an array"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(updates, reason):
    with pytest.raises(InvalidUpdate, match=reason):
        applied(updates)


def test_members_that_nobody_knows_survive():
    base = view(future={"x": [1]})
    document = replaced(base, "select 2", of_the_future={"y": 2})
    assert document["future"] == {"x": [1]}
    assert document["versions"][1]["of-the-future"] == {"y": 2}


def test_nulls_of_optional_members_are_left_out():
    document = replaced(view(), "select 2", default_catalog=None)
    assert "default-catalog" not in document["versions"][1]


def test_there_is_a_largest_number_of_versions_in_one_commit(monkeypatch):
    monkeypatch.setattr(document_draft, "DEFINITIONS_MAX", 2)
    with pytest.raises(InvalidUpdate, match="must not add more than 2"):
        applied([add_version(sql=str(n)) for n in range(3)])


def test_metadata_files_are_gzip_unless_told_otherwise():
    codec = "write.metadata.compression-codec"
    assert is_compressed(view())
    assert is_compressed(view(properties={codec: "GZIP"}))
    assert not is_compressed(view(properties={codec: "none"}))


@pytest.mark.parametrize("uuid", [UUID, UUID.upper()])
def test_the_uuid_that_a_view_has_may_be_required(uuid):
    requirements.check_view([{"type": "assert-view-uuid", "uuid": uuid}], view())


def test_another_uuid_is_a_conflict():
    with pytest.raises(CommitConflict) as conflict:
        requirements.check_view([{"type": "assert-view-uuid", "uuid": "other"}], view())
    assert conflict.value.message == (
        f"Requirement failed: view UUID does not match: expected {UUID} != other"
    )


@pytest.mark.parametrize(
    "requirement",
    [{"type": "assert-table-uuid", "uuid": UUID}, {"type": "assert-create"}, {"type": "x"}, {}, 1],
    ids=str,
)
def test_a_view_has_no_other_requirement(requirement):
    with pytest.raises(InvalidUpdate):
        requirements.check_view([requirement], view())
