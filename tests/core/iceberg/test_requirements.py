import pytest

from graticule.domain.errors import CommitConflict, InvalidUpdate
from graticule.iceberg.requirements import REQUIREMENTS_MAX, check_all, is_create
from support.table_documents import (
    UUID,
    apply,
    point,
    table,
    table_with_snapshots,
)

TABLE = apply([point("fork", 1), point("v1", 1, type="tag")], table_with_snapshots(1, 2))


def requirement(kind, **members):
    return {"type": kind} | members


HOLDING = [
    requirement("assert-table-uuid", uuid=UUID.upper()),
    requirement("ASSERT-TABLE-UUID", uuid=UUID),
    requirement("assert-ref-snapshot-id", ref="main", **{"snapshot-id": 2}),
    requirement("assert-ref-snapshot-id", ref="other", **{"snapshot-id": None}),
    requirement("assert-ref-snapshot-id", ref="other"),
    requirement("assert-last-assigned-field-id", **{"last-assigned-field-id": 2}),
    requirement("assert-current-schema-id", **{"current-schema-id": 0}),
    requirement("assert-last-assigned-partition-id", **{"last-assigned-partition-id": 999}),
    requirement("assert-default-spec-id", **{"default-spec-id": 0}),
    requirement("assert-default-sort-order-id", **{"default-sort-order-id": 0}),
]

FAILING = [
    (requirement("assert-create"), "table already exists"),
    (requirement("assert-table-uuid", uuid="x"), f"UUID does not match: expected {UUID} != x"),
    (
        requirement("assert-ref-snapshot-id", ref="fork", **{"snapshot-id": None}),
        "branch fork was created concurrently",
    ),
    (
        requirement("assert-ref-snapshot-id", ref="v1", **{"snapshot-id": 2}),
        "tag v1 has changed: expected id 2 != 1",
    ),
    (
        requirement("assert-ref-snapshot-id", ref="gone", **{"snapshot-id": 2}),
        "branch or tag gone is missing, expected 2",
    ),
    (
        requirement("assert-last-assigned-field-id", **{"last-assigned-field-id": 1}),
        "last assigned field id changed: expected id 1 != 2",
    ),
    (
        requirement("assert-current-schema-id", **{"current-schema-id": 1}),
        "current schema changed: expected id 1 != 0",
    ),
    (
        requirement("assert-last-assigned-partition-id", **{"last-assigned-partition-id": 1000}),
        "last assigned partition id changed: expected id 1000 != 999",
    ),
    (
        requirement("assert-default-spec-id", **{"default-spec-id": -1}),
        "default partition spec changed: expected id -1 != 0",
    ),
    (
        requirement("assert-default-sort-order-id", **{"default-sort-order-id": 1}),
        "default sort order changed: expected id 1 != 0",
    ),
]


@pytest.mark.parametrize("holding", HOLDING, ids=lambda r: r["type"])
def test_a_requirement_that_holds_passes(holding):
    check_all([holding], TABLE)


@pytest.mark.parametrize(("failing", "reason"), FAILING, ids=lambda r: str(r)[:40])
def test_a_requirement_that_fails_is_a_conflict_in_the_words_of_the_reference(failing, reason):
    with pytest.raises(CommitConflict) as conflict:
        check_all([failing], TABLE)
    assert conflict.value.message == f"Requirement failed: {reason}"


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        {},
        {"type": 7},
        requirement("assert-moon-phase"),
        requirement("assert-view-uuid", uuid=UUID),
        requirement("assert-table-uuid"),
        requirement("assert-ref-snapshot-id", ref=None),
        requirement("assert-ref-snapshot-id", ref="main", **{"snapshot-id": "2"}),
        requirement("assert-current-schema-id", **{"current-schema-id": True}),
    ],
)
def test_a_malformed_or_unknown_requirement_is_the_clients_error(malformed):
    with pytest.raises(InvalidUpdate):
        check_all([malformed], TABLE)


def test_there_is_a_largest_number_of_requirements():
    with pytest.raises(InvalidUpdate, match="more than"):
        check_all([HOLDING[0]] * (REQUIREMENTS_MAX + 1), TABLE)


def test_a_create_commit_requires_nothing_but_creation():
    create = requirement("Assert-Create")
    assert is_create([create])
    assert not is_create([HOLDING[0]])
    check_all([create], None)
    with pytest.raises(InvalidUpdate, match="Invalid create requirements"):
        check_all([create, HOLDING[0]], None)


def test_a_table_that_is_gone_fails_every_requirement():
    with pytest.raises(CommitConflict, match="table does not exist"):
        check_all([HOLDING[0]], None)
    check_all([], None)


def test_the_first_write_to_a_branch_of_an_empty_table_passes():
    check_all([requirement("assert-ref-snapshot-id", ref="fork")], table())


def test_main_is_known_on_a_table_that_keeps_no_refs():
    old = {k: v for k, v in TABLE.items() if k != "refs"}
    check_all([requirement("assert-ref-snapshot-id", ref="main", **{"snapshot-id": 2})], old)
