"""The zoo of buckets in a real store: scanned, registered in place, and read by two engines."""

import fnmatch

import duckdb
import pytest
from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException

from support.duck import attach, attached
from support.zoo.every import EVERY

PYICEBERG_REFUSES = (ValueError, UnsupportedPyArrowTypeException)


@pytest.fixture(scope="module")
def duck():
    """A DuckDB with its extensions loaded, which takes longer than a layout does."""
    opened = []

    def of(catalog):
        if not opened:
            opened.append(attached(catalog))
        else:
            connection = opened[0]
            connection.execute("detach lake")
            # What the last catalog vended stays behind, and is asked for again at the next one.
            vended = connection.execute(
                "select name from duckdb_secrets() where scope[1] like 's3%'"
            )
            for (name,) in vended.fetchall():
                connection.execute(f'drop secret "{name}"')
            attach(opened[0], catalog)
        return opened[0]

    yield of
    for connection in opened:
        connection.close()


def placed(table):
    place = table["place"]
    return place and f"{place['column'] or 'lon/lat'} {place['encoding']} {place['crs']}"


def name_of(table):
    return ".".join(part for part in (table["namespace"], table["name"]) if part)


@pytest.mark.parametrize("layout", EVERY, ids=lambda layout: layout.id)
def test_the_zoo(layout, raw, duck):
    objects = layout.build(f"s3://lake/{raw.prefix.rstrip('/')}")
    for name, data in objects.items():
        raw.put(name, data)
    before = raw.keys()
    ignore = [f"{raw.prefix}{each[1:]}" if each[0] == "/" else each for each in layout.ignore]
    scan = raw.scan(ignore=ignore)
    assert scan["state"] == "proposed", scan["report"]
    report = scan["report"]

    expected = {}
    tables = {name_of(table): table for table in report["tables"]}
    for each in layout.tables:
        name = next(name for name in tables if fnmatch.fnmatchcase(name, each.name))
        table = tables.pop(name)
        expected[name] = each.rows
        assert (table["kind"], table["file-count"], table["row-count"], table["confidence"]) == (
            "files",
            len(each.files),
            each.rows,
            each.confidence,
        ), table["reasons"]
        columns = ", ".join(f"{c['name']} {c['type']}" for c in table["partitioned-by"])
        assert (columns, placed(table)) == (each.by, each.place or None)
        for reason in each.because:
            assert any(reason in said for said in table["reasons"]), table["reasons"]
    assert {name: t["row-count"] for name, t in tables.items()} == layout.existing
    assert {t["kind"] for t in tables.values()} <= {"iceberg"}
    assert {name_of(each): each["format"] for each in report["convertible"]} == layout.convertible
    skipped = {each["key"].removeprefix(raw.prefix): each["reason"] for each in report["skipped"]}
    reasons = {key.lstrip("/"): reason for key, reason in layout.skipped.items()}
    assert skipped.keys() == reasons.keys()
    assert [key for key in reasons if not skipped[key].startswith(reasons[key])] == []

    outcomes = raw.register(scan).json()["tables"]
    assert [each["error"] for each in outcomes if each["error"]] == []
    assert raw.keys() == before
    rows = expected | dict(layout.existing)
    assert {each["proposal"]: each["rows"] for each in outcomes} == rows
    for each in outcomes:
        names = (".".join(each["namespace"]), each["name"])
        table = raw.catalog.pyiceberg().load_table(names)
        if layout.pyiceberg_refuses:
            with pytest.raises(PYICEBERG_REFUSES, match=layout.pyiceberg_refuses):
                table.scan().to_arrow()
        else:
            assert table.scan().to_arrow().num_rows == rows[each["proposal"]]
        read = f'select count(*), count(columns(*)) from lake."{names[0]}"."{names[1]}"'
        if layout.duckdb_refuses:
            with pytest.raises(duckdb.Error, match=layout.duckdb_refuses):
                duck(raw.catalog).execute(read).fetchall()
        else:
            [(count, *_)] = duck(raw.catalog).execute(read).fetchall()
            assert count == rows[each["proposal"]]
