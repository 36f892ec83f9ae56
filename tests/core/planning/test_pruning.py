import math
import struct
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graticule.iceberg.expressions import (
    FALSE,
    TRUE,
    And,
    Comparison,
    FieldId,
    Not,
    Or,
    SetMembership,
    StIntersects,
    Transform,
    Unary,
)
from graticule.iceberg.values import encode_value
from graticule.planning.files import DataFileEntry
from graticule.planning.partition_fields import PartitionField
from graticule.planning.pruning import Column, bind, may_match
from graticule.spatial.bounding_box import NO_PLACE, WHOLE_PLANE

COLUMNS = {
    "id": Column(1, "long"),
    "name": Column(2, "string"),
    "height": Column(3, "double"),
    "small": Column(4, "float"),
    "day": Column(5, "date"),
    "at": Column(6, "timestamptz"),
    "price": Column(7, "decimal(9, 2)"),
    "key": Column(8, "uuid"),
    "geometry": Column(9, "binary"),
    "nano": Column(10, "timestamp_ns"),
    "shape": Column(11, "geometry"),
    "box.xmin": Column(12, "double"),
}


def file(*, partition=(), nulls=None, values=None, nans=None, **bounds):
    """`id=(3, 9)` are the bounds of a column."""
    lower, upper = {}, {}
    for name, (low, high) in bounds.items():
        column = COLUMNS[name]
        if low is not None:
            lower[column.field_id] = encode_value(column.type, low)
        if high is not None:
            upper[column.field_id] = encode_value(column.type, high)
    return DataFileEntry(
        path="p",
        size_bytes=1,
        record_count=10,
        spec_id=0,
        partition=partition,
        lower_bounds=lower,
        upper_bounds=upper,
        null_value_counts=nulls or {},
        value_counts=values or {},
        nan_value_counts=nans or {},
    )


def may(expression, entry, fields=(), columns=COLUMNS):
    return may_match(expression, entry, columns=columns, fields=fields)


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("lt", 3, False),
        ("lt", 4, True),
        ("lt-eq", 2, False),
        ("lt-eq", 3, True),
        ("gt", 9, False),
        ("gt", 8, True),
        ("gt-eq", 10, False),
        ("gt-eq", 9, True),
        ("eq", 2, False),
        ("eq", 3, True),
        ("eq", 10, False),
        ("not-eq", 3, True),
        ("lt", 2**70, True),
        ("gt", 2**70, False),
    ],
)
def test_comparisons_with_bounds(op, value, expected):
    assert may(Comparison(op, "id", value), file(id=(3, 9))) is expected
    assert may(Comparison(op, "id", value), file())


def test_membership_looks_for_a_value_between_the_bounds():
    assert not may(SetMembership("in", "id", (1, 2, 10)), file(id=(3, 9)))
    assert may(SetMembership("in", "id", (1, 5, 10)), file(id=(3, 9)))
    assert may(SetMembership("in", "id", (1, "x")), file(id=(3, 9)))
    assert not may(SetMembership("in", "id", ()), file())
    assert may(SetMembership("not-in", "id", (3, 9)), file(id=(3, 9)))


def test_prefixes_are_compared_with_as_much_of_the_bounds():
    entry = file(name=("bbc", "bd"))
    expected = {"a": False, "b": True, "bb": True, "bba": False, "bd": True, "be": False, "": True}
    assert {p: may(Comparison("starts-with", "name", p), entry) for p in expected} == expected
    assert may(Comparison("not-starts-with", "name", "b"), file(name=("b", "b")))


def test_null_and_nan_counts():
    all_null = file(nulls={1: 10}, values={1: 10})
    no_null = file(nulls={1: 0}, values={1: 10})
    assert not may(Comparison("eq", "id", 3), all_null)
    assert not may(Unary("not-null", "id"), all_null)
    assert may(Unary("is-null", "id"), all_null)
    assert not may(Unary("is-null", "id"), no_null)
    assert may(Comparison("not-eq", "id", 3), all_null)
    assert not may(Unary("is-nan", "height"), file(nans={3: 0}))
    assert not may(Unary("not-nan", "height"), file(nans={3: 10}, values={3: 10}))
    assert not may(Comparison("gt", "height", 1), file(nans={3: 10}, values={3: 10}))
    assert may(Comparison("eq", "id", 3), file(nulls={1: 0}, values={1: 0}))


def test_a_not_turns_around_only_what_can_be_turned():
    entry = file(id=(3, 9), nulls={1: 0}, values={1: 10})
    assert may(Not(Comparison("lt", "id", 100)), entry)
    assert not may(Not(Unary("not-null", "id")), entry)
    assert not may(Not(Comparison("not-eq", "id", 100)), entry)
    assert not may(Not(Or(Comparison("not-eq", "id", 100), Comparison("eq", "id", 3))), entry)
    assert not may(Not(Not(Comparison("gt", "id", 100))), entry)
    assert not may(Not(TRUE), entry)
    assert may(Not(FALSE), entry)


@pytest.mark.parametrize(
    "expression",
    [
        Comparison("eq", "unknown", 3),
        Comparison("eq", "id", "three"),
        Comparison("eq", "id", 3.5),
        Comparison("lt", Transform("bucket[4]", "id"), 0),
        Comparison("lt", FieldId(99), 0),
        Comparison("eq", "shape", "POINT (1 2)"),
        Comparison("starts-with", "id", "3"),
        Comparison("gt", "nano", 2**62),
        StIntersects("geometry", (0, 0, 1, 1)),
        Unary("is-null", "unknown"),
    ],
)
def test_what_is_not_understood_prunes_nothing(expression):
    entry = file(id=(3, 9), nano=(1, 2), nulls={1: 0})
    assert may(expression, entry)
    assert may(Not(expression), entry)
    assert bind(expression, COLUMNS, {}).is_trivial


def test_columns_are_found_by_id_and_in_any_case_when_asked():
    assert not may(Comparison("lt", FieldId(1), 3), file(id=(3, 9)))
    bound = bind(Comparison("lt", "ID", 3), COLUMNS, {}, case_sensitive=False)
    assert not bound.may_match(file(id=(3, 9)))


@pytest.mark.parametrize(
    ("column", "bounds", "literal"),
    [
        ("day", (18_262, 18_270), "2019-12-31"),
        ("day", (18_262, 18_270), 18_261),
        ("at", (1_577_836_800_000_000,) * 2, "2019-12-31T23:59:59"),
        ("at", (1_577_836_800_000_000,) * 2, "2020-01-01T00:59:59+01:00"),
        ("at", (1_577_836_800_000_000,) * 2, 1_577_836_799_999_999),
        ("price", (Decimal("1.20"), Decimal("9.99")), "1.19"),
        ("key", (UUID(int=7),) * 2, str(UUID(int=6))),
        ("geometry", (b"\x02", b"\x03"), "01FF"),
        ("name", ("b", "c"), "a"),
    ],
)
def test_literals_are_bound_by_the_type_of_the_column(column, bounds, literal):
    assert not may(Comparison("eq", column, literal), file(**{column: bounds}))
    assert may(Comparison("not-eq", column, literal), file(**{column: bounds}))


def test_uuid_bounds_have_no_certain_order():
    entry = file(key=(UUID(int=7), UUID(int=9)))
    assert may(Comparison("eq", "key", str(UUID(int=6))), entry)


@pytest.mark.parametrize("op", ["lt", "lt-eq", "gt", "gt-eq"])
def test_uuids_have_no_certain_order(op):
    """Java compares halves as signed numbers, others bytes."""
    lowest, highest = UUID(int=1), UUID(int=2**128 - 1)
    fields = [PartitionField(COLUMNS["key"].field_id, "identity")]
    for value, literal in ((lowest, highest), (highest, lowest)):
        assert may(Comparison(op, "key", str(literal)), file(partition=(value,)), fields)
        assert may(Comparison(op, "key", str(literal)), file(key=(value, value)))
    entry = file(partition=(lowest,))
    assert not may(Comparison("eq", "key", str(highest)), entry, fields)
    assert may(Comparison("eq", "key", str(lowest)), entry, fields)


def test_a_field_may_be_null_with_its_struct_though_nobody_counted_it():
    inside = {"a.b": replace(COLUMNS["id"], is_nested=True)}
    entry = file(id=(3, 9), nulls={1: 0}, values={1: 10})
    assert may(Unary("is-null", "a.b"), entry, columns=inside)
    assert not may(Comparison("eq", "a.b", 2), entry, columns=inside)
    fields = [PartitionField(1, "identity")]
    assert not may(Unary("is-null", "a.b"), file(partition=(3,)), fields, columns=inside)


def test_a_literal_against_float32_means_both_of_its_widths():
    tenth = float(np.float32(0.1))  # above 0.1
    assert may(Comparison("lt-eq", "small", 0.1), file(small=(tenth, 1)))
    assert may(Comparison("eq", "small", 0.1), file(small=(tenth, 1)))
    assert may(Comparison("gt", "small", 0.1), file(small=(0, tenth)))
    assert not may(Comparison("lt", "small", 0.1), file(small=(0.25, 1)))
    assert may(Comparison("lt", "small", 1e300), file(small=(0, 1)))
    assert not may(Comparison("gt", "small", 1e300), file(small=(0, 1)))


def test_zero_has_two_signs():
    assert may(Comparison("lt", "height", 0.0), file(height=(-0.0, 1)))
    assert may(Comparison("gt", "height", 0), file(height=(-1, 0.0)))
    fields = [PartitionField(3, "identity")]
    assert may(Comparison("not-eq", "height", 0.0), file(partition=(-0.0,)), fields)


def test_damaged_metrics_prune_nothing():
    damaged = DataFileEntry(
        "p",
        1,
        1,
        0,
        lower_bounds={1: b"\x00", 3: struct.pack("<d", math.nan)},
        upper_bounds={2: b"\xff"},
    )
    for name, value in (("id", 5), ("height", 5), ("name", "x")):
        assert may(Comparison("eq", name, value), damaged)
    assert may(Comparison("eq", "id", 50), file(id=(9, 3)))


def test_identity_partitions_are_constants():
    fields = [PartitionField(2, "identity"), PartitionField(1, "identity")]
    entry = file(partition=("fr", None))
    assert not may(Comparison("eq", "name", "de"), entry, fields)
    assert not may(Comparison("not-eq", "name", "fr"), entry, fields)
    assert not may(SetMembership("not-in", "name", ("de", "fr")), entry, fields)
    assert not may(Comparison("not-starts-with", "name", "f"), entry, fields)
    assert not may(Unary("is-null", "name"), entry, fields)
    assert may(Comparison("not-eq", "name", "de"), entry, fields)
    assert not may(Comparison("eq", "id", 3), entry, fields)
    assert may(Comparison("not-eq", "id", 3), entry, fields)
    assert may(Unary("is-null", "id"), entry, fields)
    assert may(Comparison("eq", "name", "de"), file(partition=("fr",)), fields)


def test_the_spec_of_the_file_decides():
    specs = {0: [PartitionField(1, "identity")], 1: [PartitionField(1, "bucket[4]")]}
    bound = bind(Comparison("eq", "id", 3), COLUMNS, specs)
    entries = [DataFileEntry("p", 1, 1, spec_id, partition=(2,)) for spec_id in (0, 1, 7)]
    assert [bound.may_match(entry) for entry in entries] == [False, True, True]


def test_partition_values_of_another_type_prune_nothing():
    for transform in ("identity", "day", "truncate[3]"):
        fields = [PartitionField(5, transform)]
        assert may(Comparison("eq", "day", "2020-01-01"), file(partition=("oops",)), fields)
    assert may(
        Comparison("not-starts-with", "name", "f"),
        file(partition=(3,)),
        [PartitionField(2, "identity")],
    )


def test_partitions_and_metrics_that_contradict_each_other_prune_nothing():
    fields = [PartitionField(1, "truncate[10]")]
    assert not may(Comparison("eq", "id", 25), file(partition=(10,)), fields)
    assert not may(Comparison("eq", "id", 15), file(partition=(10,), id=(16, 30)), fields)
    assert may(Comparison("eq", "id", 15), file(partition=(10,), id=(25, 30)), fields)


VIRTUAL = {
    name: Column(20 + at, "double")
    for at, name in enumerate(["file_xmin", "file_ymin", "file_xmax", "file_ymax"])
}
VIRTUAL_FIELDS = [PartitionField(20 + at, "identity") for at in range(4)]


@pytest.mark.parametrize(
    "partition",
    [
        WHOLE_PLANE,
        NO_PLACE,
        (None,) * 4,
        (-math.inf, -math.inf, math.inf, math.inf),
        (math.nan,) * 4,
    ],
)
def test_a_side_of_an_unknown_box_prunes_nothing_in_either_direction(partition):
    entry = file(partition=partition)
    for name in VIRTUAL:
        for op in ("lt", "gt", "eq", "not-eq"):
            assert may(Comparison(op, name, 5), entry, VIRTUAL_FIELDS, VIRTUAL)


def test_a_known_side_is_a_constant():
    entry = file(partition=(1.0, 2.0, 3.0, 4.0))
    assert not may(Comparison("gt", "file_xmin", 5), entry, VIRTUAL_FIELDS, VIRTUAL)
    assert not may(Comparison("lt", "file_ymax", 4), entry, VIRTUAL_FIELDS, VIRTUAL)
    assert may(Comparison("lt-eq", "file_ymax", 4), entry, VIRTUAL_FIELDS, VIRTUAL)


# The law: a file with a row that matches is never pruned.

ROW_COLUMNS = {"i": Column(1, "int"), "f": Column(2, "float"), "s": Column(3, "string")}
VALUES = {
    "i": st.integers(-4, 4),
    "f": st.sampled_from([-0.0, 0.0, 0.1, -1.5, math.nan, math.inf, 2.0]).map(
        lambda value: float(np.float32(value))
    ),
    "s": st.text("ab", max_size=3),
}
LITERALS = {"i": VALUES["i"], "f": st.sampled_from([0.1, -1.5, 0, 2.0, 5]), "s": VALUES["s"]}


@st.composite
def predicates(draw):
    name = draw(st.sampled_from(sorted(ROW_COLUMNS)))
    ops = ["is-null", "not-null", "lt", "lt-eq", "gt", "gt-eq", "eq", "not-eq", "in", "not-in"]
    ops += {"f": ["is-nan", "not-nan"], "s": ["starts-with", "not-starts-with"], "i": []}[name]
    op = draw(st.sampled_from(ops))
    if op in {"is-null", "not-null", "is-nan", "not-nan"}:
        return Unary(op, name)
    if op in {"in", "not-in"}:
        return SetMembership(op, name, tuple(draw(st.lists(LITERALS[name], max_size=3))))
    return Comparison(op, name, draw(LITERALS[name]))


filters = st.recursive(
    predicates(),
    lambda inner: st.one_of(
        st.builds(And, inner, inner), st.builds(Or, inner, inner), st.builds(Not, inner)
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})


def matches(expression, row, *, narrow):
    """Two-valued; `narrow` rounds literals for the float column as Iceberg's readers do."""
    match expression:
        case And(left, right):
            return matches(left, row, narrow=narrow) and matches(right, row, narrow=narrow)
        case Or(left, right):
            return matches(left, row, narrow=narrow) or matches(right, row, narrow=narrow)
        case Not(child):
            return not matches(child, row, narrow=narrow)
        case Unary(op, name):
            is_nan = isinstance(row[name], float) and math.isnan(row[name])
            holds = row[name] is None if op.endswith("null") else is_nan
            return holds == op.startswith("is")
        case SetMembership(op, name, values):
            one = [Comparison("eq", name, value) for value in values]
            return any(matches(each, row, narrow=narrow) for each in one) == (op == "in")
        case Comparison(op, name, value):
            own = row[name]
            if narrow and name == "f":
                value = float(np.float32(value))
            if op.startswith("not-"):
                return not matches(Comparison(op[4:], name, value), row, narrow=narrow)
            if own is None or (isinstance(own, float) and math.isnan(own)):
                return False
            return {
                "lt": lambda: own < value,
                "lt-eq": lambda: own <= value,
                "gt": lambda: own > value,
                "gt-eq": lambda: own >= value,
                "eq": lambda: own == value,
                "starts-with": lambda: own.startswith(value),
            }[op]()
    raise AssertionError(expression)


def described(rows, data):
    """Metrics as a writer makes them, each one left out at times, texts truncated."""
    lower, upper, nulls, values, nans = {}, {}, {}, {}, {}
    for name, column in ROW_COLUMNS.items():
        at = column.field_id
        own = [row[name] for row in rows if row[name] is not None]
        numbers = [value for value in own if not (isinstance(value, float) and math.isnan(value))]
        keep = data.draw(st.booleans())
        if numbers and keep:
            low, high = min(numbers), max(numbers)
            if name == "s" and len(high) > 1:
                low, high = low[:1], chr(ord(high[0]) + 1)
            lower[at], upper[at] = encode_value(column.type, low), encode_value(column.type, high)
        if data.draw(st.booleans()):
            nulls[at], values[at] = len(rows) - len(own), len(rows)
        if name == "f" and data.draw(st.booleans()):
            nans[at] = len(own) - len(numbers)
    return lower, upper, nulls, values, nans


@settings(max_examples=1000)
@given(filters, st.lists(rows, min_size=1, max_size=4), st.data())
def test_a_file_with_a_row_that_matches_is_never_pruned(expression, content, data):
    fields, partition = [], []
    for name in ("i", "s"):
        transform = data.draw(
            st.sampled_from([None, "identity", "truncate[2]", "void", "bucket[2]"])
        )
        if transform is None:
            continue
        first = content[0][name]
        if transform == "identity":
            content = [{**row, name: first} for row in content]
        elif transform != "void":
            # Partition values never mix nulls with others, nor two truncations.
            for row in content:
                own = row[name]
                same_null = (own is None) == (first is None)
                row[name] = own if same_null and truncated(own) == truncated(first) else first
        value = {"identity": first, "truncate[2]": truncated(first), "void": None}.get(
            transform, None if first is None else 1
        )
        fields.append(PartitionField(ROW_COLUMNS[name].field_id, transform))
        partition.append(value)
    lower, upper, nulls, values, nans = described(content, data)
    entry = DataFileEntry(
        "p",
        1,
        len(content),
        0,
        partition=tuple(partition),
        lower_bounds=lower,
        upper_bounds=upper,
        null_value_counts=nulls,
        value_counts=values,
        nan_value_counts=nans,
    )
    for narrow in (False, True):
        if any(matches(expression, row, narrow=narrow) for row in content):
            assert may_match(expression, entry, columns=ROW_COLUMNS, fields=fields)


def truncated(value):
    return value if value is None else value[:2] if isinstance(value, str) else value - value % 2
