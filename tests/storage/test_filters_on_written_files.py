"""No file with a row that a filter keeps is dropped: files as engines write them, any filter.

Rows of every type are cut into files by transforms and written by pyarrow; metrics are PyIceberg's,
manifests go through our writer and reader, and PyIceberg's evaluator says which rows match.  The
table has changed since some files were written: columns were widened and renamed.
"""

import math
import random
from dataclasses import replace
from decimal import Context, Decimal
from io import BytesIO
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg import expressions as iceberg
from pyiceberg.expressions import literals
from pyiceberg.expressions.visitors import expression_evaluator
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.schema import Schema
from pyiceberg.transforms import parse_transform
from pyiceberg.typedef import Record

from graticule.iceberg import expressions
from graticule.iceberg.values import kind_of, to_json_value
from graticule.planning import pruning
from graticule.planning.columns import columns_of, specs_of
from graticule.planning.files import DataFileEntry
from graticule.storage.manifest_columns import read_manifests
from graticule.storage.manifest_writer import write_manifests
from support.profiles import PROFILE

TABLES = 60 if PROFILE == "default" else 1_000
FILTERS_A_TABLE = 40
EXACT = Context(prec=80)
MICROS = 1_000_000
DAY = 86_400 * MICROS
HUGE = 10**35 + 1

TYPES = {
    "yes": ("boolean", "boolean"),
    "small": ("int", "long"),
    "large": ("long", "long"),
    "narrow": ("float", "double"),
    "wide": ("double", "double"),
    "price": ("decimal(9, 2)", "decimal(18, 2)"),
    "exact": ("decimal(38, 2)", "decimal(38, 2)"),
    "day": ("date", "date"),
    "clock": ("time", "time"),
    "local": ("timestamp", "timestamp"),
    "instant": ("timestamptz", "timestamptz"),
    "name": ("string", "string"),
    "key": ("uuid", "uuid"),
    "code": ("fixed[4]", "fixed[4]"),
    "raw": ("binary", "binary"),
    "place.floor": ("int", "int"),
    "place.label": ("string", "string"),
}
"""By name: the type when the first files were written, and the type now."""

ARROW = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "decimal(9, 2)": pa.decimal128(9, 2),
    "decimal(18, 2)": pa.decimal128(18, 2),
    "decimal(38, 2)": pa.decimal128(38, 2),
    "date": pa.int32(),
    "time": pa.int64(),
    "timestamp": pa.int64(),
    "timestamptz": pa.int64(),
    "string": pa.string(),
    "uuid": pa.binary(16),
    "fixed[4]": pa.binary(4),
    "binary": pa.binary(),
}
CAST = {
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
VALUES = {
    "boolean": [True, False],
    "int": [-(2**31) + 3, -5, -1, 0, 1, 4, 9, 2**31 - 1],
    "long": [-(2**63) + 8, -(2**40), -11, -10, -1, 0, 9, 10, 2**40, 2**63 - 1],
    "float": [-math.inf, -1.5, -0.0, 0.0, 0.5, 2.75, math.inf, math.nan],
    "double": [-math.inf, -1.5, -0.0, 0.0, 0.1, 2.7, 1e300, math.inf, math.nan],
    "decimal(9, 2)": [Decimal(n) for n in ("-0.01", "-12.30", "0.00", "9.99", "10.00", "12.30")],
    "decimal(38, 2)": [
        Decimal("0.01"),
        *(EXACT.scaleb(Decimal(n), -2) for n in (HUGE, HUGE + 1, -HUGE, HUGE + 10, HUGE + 99)),
    ],
    "date": [-700_000, -366, -1, 0, 1, 18_262, 18_293, 19_000],
    "time": [0, 1, 3_600 * MICROS, DAY - 1],
    "timestamp": [-5 * DAY - 1, -DAY, -1, 0, 1, 3_600 * MICROS, 18_262 * DAY, 18_293 * DAY + 7],
    "string": ["", "a", "ab", "abc", "b", "ä", "😀x", "\U0010ffff", "z" * 40, "z" * 39 + "a"],
    "uuid": [UUID(int=n) for n in (0, 1, 2**127 - 1, 2**127, 2**128 - 1)],
    "fixed[4]": [b"\0\0\0\0", b"\0\0\0\1", b"\x7f\xff\0\0", b"\xff\xff\xff\xff"],
    "binary": [b"", b"\0", b"a", b"a\xff", b"\xff", b"\xff" * 20, b"z" * 30],
}
VALUES["timestamptz"] = VALUES["timestamp"]
VALUES["decimal(18, 2)"] = VALUES["decimal(9, 2)"]
TRANSFORMS = {
    "boolean": ["identity"],
    "int": ["identity", "bucket[3]", "truncate[5]"],
    "long": ["identity", "bucket[3]", "truncate[10]"],
    "float": ["identity"],
    "double": ["identity"],
    "decimal(9, 2)": ["identity", "bucket[3]", "truncate[50]"],
    "decimal(38, 2)": ["identity", "truncate[50]"],
    "date": ["identity", "bucket[3]", "year", "month", "day"],
    "time": ["identity", "bucket[3]"],
    "timestamp": ["identity", "bucket[3]", "year", "month", "day", "hour"],
    "string": ["identity", "bucket[3]", "truncate[2]"],
    "uuid": ["identity", "bucket[3]"],
    "fixed[4]": ["identity"],
    "binary": ["identity", "bucket[3]", "truncate[1]"],
}
TRANSFORMS["timestamptz"] = TRANSFORMS["timestamp"]
NESTED = "place."
IDS = {name: at + 1 for at, name in enumerate(TYPES)}
PLACE_ID = 100


def schema_of(*, now, renamed=()):
    """The table's schema, as it was or as it is; `renamed` columns are called otherwise now."""

    def field(name):
        last = name.removeprefix(NESTED)
        shown = f"{last}_now" if now and name in renamed else last
        return {"id": IDS[name], "name": shown, "required": False, "type": TYPES[name][now]}

    fields = [field(name) for name in TYPES if not name.startswith(NESTED)]
    inner = [field(name) for name in TYPES if name.startswith(NESTED)]
    place = {"type": "struct", "fields": inner}
    fields.append({"id": PLACE_ID, "name": "place", "required": False, "type": place})
    return {"type": "struct", "schema-id": int(now), "fields": fields}


def row_of(chance, spread):
    """A value of each column, from a few neighbours of all that may be."""
    row = {}
    for name, (kind, _) in TYPES.items():
        values = VALUES[kind]
        first = spread[name] % len(values)
        row[name] = None if chance.random() < 0.15 else chance.choice(values[first : first + 3])
    if chance.random() < 0.2:
        row |= dict.fromkeys((name for name in TYPES if name.startswith(NESTED)), None)
        row["place"] = None
    return row


def arrow_of(name, rows):
    kind = TYPES[name][0]
    values = [row[name].bytes if isinstance(row[name], UUID) else row[name] for row in rows]
    array = pa.array(values, ARROW[kind])
    return array.cast(CAST[kind]) if kind in CAST else array


def parquet_of(rows):
    columns = {name: arrow_of(name, rows) for name in TYPES if not name.startswith(NESTED)}
    inner = [name for name in TYPES if name.startswith(NESTED)]
    columns["place"] = pa.StructArray.from_arrays(
        [arrow_of(name, rows) for name in inner],
        [name.removeprefix(NESTED) for name in inner],
        mask=pa.array(["place" in row for row in rows]),
    )
    sink = BytesIO()
    writer = {"write_page_index": False, "store_decimal_as_integer": True}
    pq.write_table(pa.table(columns), sink, row_group_size=max(1, len(rows) // 2), **writer)
    return pq.read_metadata(sink)


def entry_of(number, rows, partition):
    """A file with the metrics that PyIceberg makes of its footer."""
    schema = Schema.model_validate(schema_of(now=False))
    footer = parquet_of(rows)
    found = data_file_statistics_from_parquet_metadata(
        footer, compute_statistics_plan(schema, {}), parquet_path_to_id_mapping(schema)
    ).to_serialized_dict()
    return DataFileEntry(
        path=f"s3://lake/t/{number}.parquet",
        size_bytes=1,
        record_count=len(rows),
        spec_id=0,
        partition=partition,
        **{
            name: found[name]
            for name in (
                "value_counts",
                "null_value_counts",
                "nan_value_counts",
                "lower_bounds",
                "upper_bounds",
            )
        },
    )


def random_spec(chance):
    names = chance.sample(sorted(TYPES), chance.choice([0, 1, 1, 2]))
    return [(name, chance.choice(TRANSFORMS[TYPES[name][0]])) for name in names]


def spec_json(fields):
    named = [
        {"source-id": IDS[name], "field-id": 1000 + at, "name": f"p{at}", "transform": transform}
        for at, (name, transform) in enumerate(fields)
    ]
    return {"spec-id": 0, "fields": named}


def cut(rows, fields, chance):
    """Rows by the values of their partition, and each of those again by chance."""
    schema = Schema.model_validate(schema_of(now=False))
    found = {}
    for row in rows:
        values = []
        for name, transform in fields:
            source = schema.find_type(name)
            value = row[name]
            if value is not None and transform != "identity":
                value = transformed(transform, source, value)
            values.append(value)
        key = (*((type(v), v.hex() if isinstance(v, float) else v) for v in values),)
        found.setdefault((key, chance.randrange(2)), (tuple(values), []))[1].append(row)
    return list(found.values())


def transformed(transform, source, value):
    if isinstance(value, Decimal) and transform.startswith("truncate"):
        # PyIceberg works in the default context, which rounds to 28 digits.
        width, unscaled = 50, int(EXACT.scaleb(value, 2))
        return EXACT.scaleb(Decimal(unscaled - unscaled % width), -2)
    return parse_transform(transform).transform(source)(value)


def read_back(entries, spec):
    """As they come out of a manifest."""
    [written] = write_manifests(
        entries,
        schema=schema_of(now=False),
        spec=spec,
        snapshot_id=1,
        folder="s3://lake/t/metadata",
        token="m",
    )
    manifest = replace(written.manifest, sequence_number=1, min_sequence_number=1)
    [files] = read_manifests([(manifest, written.data)])
    read = files.columns.entries(np.arange(len(entries)))
    assert [entry.path for entry in read] == [entry.path for entry in entries]
    for entry, before in zip(read, entries, strict=True):
        assert repr(entry.partition) == repr(before.partition)
    return read


def spelled(chance, kind, value):
    """A literal as one client or another writes it."""
    if kind in {"date", "time", "timestamp", "timestamptz"} and chance.random() < 0.5:
        return value
    if kind.startswith("decimal"):
        return str(value)
    text = to_json_value(kind, value)
    if kind == "timestamptz" and chance.random() < 0.5:
        text = text.removesuffix("+00:00")
    if kind_of(kind) in {"fixed", "binary"} and chance.random() < 0.5:
        text = text.upper()
    wrapped = {"type": "literal", "value": text}
    return wrapped if chance.random() < 0.1 else text


NEAR = {
    "long": lambda v, d: v + d,
    "date": lambda v, d: v + d,
    "time": lambda v, d: min(max(v + d, 0), DAY - 1),
    "timestamp": lambda v, d: v + d,
    "timestamptz": lambda v, d: v + d,
    "double": lambda v, d: v + d / 8,
    "string": lambda v, d: v + "a" if d > 0 else v[:-1],
}


def predicate(chance, names):
    """The same predicate twice: for us as JSON, and PyIceberg's own."""
    name = chance.choice(sorted(TYPES))
    kind, shown = TYPES[name][1], names[name]
    op = chance.choice(
        ["eq", "not-eq", "lt", "lt-eq", "gt", "gt-eq", "in", "not-in", "is-null", "not-null"]
        + (["is-nan", "not-nan"] if kind == "double" else [])
        + (["starts-with", "not-starts-with"] * 2 if kind == "string" else [])
    )
    if op in {"is-null", "not-null", "is-nan", "not-nan"}:
        classes = {
            "is-null": iceberg.IsNull,
            "not-null": iceberg.NotNull,
            "is-nan": iceberg.IsNaN,
            "not-nan": iceberg.NotNaN,
        }
        return {"type": op, "term": shown}, classes[op](shown)

    def value():
        found = chance.choice([v for v in VALUES[kind] if not is_nan(v)])
        near = NEAR.get(kind)
        if near is not None and chance.random() < 0.4:
            found = near(found, chance.choice([-1, 1]))
        if kind == "long":
            found = max(-(2**63), min(found, 2**63 - 1))
        return found

    if op in {"in", "not-in"}:
        values = [value() for _ in range(chance.randrange(1, 4))]
        ours = {"type": op, "term": shown, "values": [spelled(chance, kind, v) for v in values]}
        own = iceberg.In if op == "in" else iceberg.NotIn
        return ours, own(shown, [theirs(kind, v) for v in values])
    one = value()
    classes = {
        "eq": iceberg.EqualTo,
        "not-eq": iceberg.NotEqualTo,
        "lt": iceberg.LessThan,
        "lt-eq": iceberg.LessThanOrEqual,
        "gt": iceberg.GreaterThan,
        "gt-eq": iceberg.GreaterThanOrEqual,
        "starts-with": iceberg.StartsWith,
        "not-starts-with": iceberg.NotStartsWith,
    }
    ours = {"type": op, "term": shown, "value": spelled(chance, kind, one)}
    return ours, classes[op](shown, theirs(kind, one))


def is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def theirs(kind, value):
    """The literal as PyIceberg binds it to the very value."""
    made = {
        "date": literals.DateLiteral,
        "time": literals.TimeLiteral,
        "timestamp": literals.TimestampLiteral,
        "timestamptz": literals.TimestampLiteral,
        "uuid": lambda v: literals.UUIDLiteral(v.bytes),
        "fixed": literals.FixedLiteral,
        "binary": literals.BinaryLiteral,
    }.get(kind_of(kind))
    return value if made is None else made(value)


def random_filter(chance, names, depth=3):
    kind = chance.random()
    if depth == 0 or kind < 0.5:
        return predicate(chance, names)
    left, own_left = random_filter(chance, names, depth - 1)
    if kind < 0.65:
        return {"type": "not", "child": left}, iceberg.Not(own_left)
    right, own_right = random_filter(chance, names, depth - 1)
    op, joined = ("and", iceberg.And) if kind < 0.85 else ("or", iceberg.Or)
    return {"type": op, "left": left, "right": right}, joined(own_left, own_right)


def record_of(row):
    """A row in PyIceberg's own values."""
    values = [
        row[name].bytes if isinstance(row[name], UUID) else row[name]
        for name in TYPES
        if not name.startswith(NESTED)
    ]
    inner = Record(*(row[name] for name in TYPES if name.startswith(NESTED)))
    return Record(*values, inner)


@pytest.mark.parametrize("part", range(4))
def test_a_file_with_a_row_that_a_filter_keeps_is_never_dropped(part):
    pruned = asked = 0
    for seed in range(part, TABLES, 4):
        chance = random.Random(seed)
        spread = {name: chance.randrange(20) for name in TYPES}
        rows = [row_of(chance, spread) for _ in range(chance.randrange(1, 14))]
        fields = random_spec(chance)
        files = cut(rows, fields, chance)
        entries = [
            entry_of(at, content, partition) for at, (partition, content) in enumerate(files)
        ]
        read = read_back(entries, spec_json(fields))
        renamed = chance.sample(sorted(TYPES), 4)
        schema = schema_of(now=True, renamed=renamed)
        own_schema = Schema.model_validate(schema)
        names = {name: own_schema.find_column_name(IDS[name]) for name in TYPES}
        specs = specs_of({"partition-specs": [spec_json(fields)]})
        for _ in range(FILTERS_A_TABLE):
            document, own = random_filter(chance, names)
            bound = pruning.bind(expressions.parse(document), columns_of(schema), specs)
            matches = expression_evaluator(own_schema, own, case_sensitive=True)
            for entry, (_, content) in zip(read, files, strict=True):
                kept = [row for row in content if matches(record_of(row))]
                asked += 1
                if not bound.may_match(entry):
                    pruned += 1
                    assert kept == [], (seed, document, entry)
    assert pruned > asked / 10
