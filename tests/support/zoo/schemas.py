"""Layouts by what files hold: columns that grow, fit, conflict or repeat."""

from decimal import Decimal

import pyarrow as pa

from support.parquet_files import parquet
from support.zoo.layout import Layout, Table, fixed, ids, plain, roads, stock


def typed(**columns: pa.Array) -> bytes:
    return parquet({"id": ids(), **columns})


TWINS = stock()
EMPTY = parquet({"id": pa.array([], pa.int64()), "name": pa.array([], pa.string())})

LAYOUTS = [
    Layout(
        "columns may come later",
        fixed({"t/part-1.parquet": plain(), "t/part-2.parquet": plain(extra=pa.array([1.5, 2.5]))}),
        (
            Table(
                "t",
                ("t/part-1.parquet", "t/part-2.parquet"),
                4,
                confidence="medium",
                because=("column `extra` is missing in 1 file",),
            ),
        ),
    ),
    Layout(
        "numbers are widened where readers can",
        fixed(
            {
                "t/part-1.parquet": typed(
                    n=pa.array([1], pa.int32()),
                    f=pa.array([1.5], pa.float32()),
                    d=pa.array([Decimal("1.50")], pa.decimal128(9, 2)),
                ),
                "t/part-2.parquet": typed(
                    n=pa.array([2**40], pa.int64()),
                    f=pa.array([2.5], pa.float64()),
                    d=pa.array([Decimal("2.50")], pa.decimal128(18, 2)),
                ),
            }
        ),
        (
            Table(
                "t",
                ("t/part-1.parquet", "t/part-2.parquet"),
                2,
                confidence="medium",
                because=("columns `n`, `f`, `d` are of different types that fit together",),
            ),
        ),
    ),
    Layout(
        "columns of nulls fit any type",
        fixed({"t/part-0.parquet": typed(v=pa.nulls(1)), "t/part-1.parquet": typed(v=[1.5])}),
        (
            Table(
                "t",
                ("t/part-0.parquet", "t/part-1.parquet"),
                2,
                confidence="medium",
                because=("column `v` is of no type in some files: PyIceberg cannot read those",),
            ),
        ),
        pyiceberg_refuses="Null type",
    ),
    Layout(
        "files without rows belong to their folder",
        fixed({"t/part-0.parquet": EMPTY, "t/part-1.parquet": plain()}),
        (Table("t", ("t/part-0.parquet", "t/part-1.parquet"), 2),),
    ),
    Layout(
        "what breaks the schema of partition folders is left out and reported",
        fixed(
            {
                "t/c=1/a.parquet": plain(),
                "t/c=2/a.parquet": plain(),
                "t/c=3/a.parquet": parquet({"id": ["x"], "name": ["a"]}),
            }
        ),
        (
            Table(
                "t",
                ("t/c=1/a.parquet", "t/c=2/a.parquet"),
                4,
                by="c int",
                confidence="medium",
                because=("left out, since the schema is another: 1 file",),
            ),
        ),
        skipped={
            "t/c=3/a.parquet": "does not fit the others: column `id` is long in one file and string"
        },
    ),
    Layout(
        "files of different schemas in one folder are different tables",
        fixed({"world/roads.parquet": roads(), "world/stock.parquet": stock()}),
        (
            Table("world.roads", ("world/roads.parquet",), 1),
            Table("world.stock", ("world/stock.parquet",), 1),
        ),
    ),
    Layout(
        "kinds of files in one folder are told apart by what their names begin with",
        fixed(
            {
                f"mixed/{n}{i}.parquet": m()
                for n, m in (("road-", roads), ("shop-", stock))
                for i in (1, 2)
            }
        ),
        (
            Table(
                "mixed.road",
                ("mixed/road-1.parquet", "mixed/road-2.parquet"),
                2,
                confidence="low",
                because=("1 other schema in the same folder",),
            ),
            Table(
                "mixed.shop", ("mixed/shop-1.parquet", "mixed/shop-2.parquet"), 2, confidence="low"
            ),
        ),
    ),
    Layout(
        "a column that conflicts tears a folder apart",
        fixed(
            {
                "t/part-1.parquet": plain(),
                "t/part-2.parquet": plain(),
                "t/part-3.parquet": parquet({"id": ["x"], "name": ["a"]}),
            }
        ),
        (
            Table("t", ("t/part-1.parquet", "t/part-2.parquet"), 4, confidence="low"),
            Table("t_*", ("t/part-3.parquet",), 1, confidence="low"),
        ),
    ),
    Layout(
        "types that Iceberg lacks are left out of the table",
        fixed({"t.parquet": typed(big=pa.array([1], pa.uint64()))}),
        (
            Table(
                "t",
                ("t.parquet",),
                1,
                confidence="medium",
                because=("column `big` is left out: Iceberg has no such type or name",),
            ),
        ),
        pyiceberg_refuses="Could not find field with name: big",
    ),
    *(
        Layout(
            f"files that PyIceberg refuses for {type_} say so",
            fixed({"t.parquet": parquet({"at": pa.array([1], type_)}, store_schema=True)}),
            (
                Table(
                    "t",
                    ("t.parquet",),
                    1,
                    because=(f"column `at` is {type_}: PyIceberg refuses the files",),
                ),
            ),
            pyiceberg_refuses="'at' has an unsupported type",
        )
        for type_ in (pa.time32("ms"), pa.timestamp("us", "Europe/Berlin"))
    ),
    Layout(
        "columns whose names Iceberg cannot have are left out of the table",
        fixed(
            {
                "t.parquet": parquet(
                    {"id": ids(), "a": pa.array([{"b": 1}]), "a.b": ids(), "": ids()}
                )
            }
        ),
        (
            Table(
                "t",
                ("t.parquet",),
                1,
                confidence="medium",
                because=("columns ``, `a.b` are left out: Iceberg has no such type or name",),
            ),
        ),
        pyiceberg_refuses="multiple fields for name a.b",
    ),
    Layout(
        "columns that only differ by case are reported",
        fixed({"t.parquet": parquet({"id": ids(), "ID": ids()})}),
        (
            Table(
                "t",
                ("t.parquet",),
                1,
                confidence="medium",
                because=("columns `ID`, `id` are alike but for upper and lower case",),
            ),
        ),
        duckdb_refuses="Column with name ID already exists",
    ),
    Layout(
        "nested columns stay nested",
        fixed(
            {
                "t.parquet": typed(
                    names=pa.array([{"primary": "a", "all": ["a", "b"]}]),
                    tags=pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string())),
                )
            }
        ),
        (Table("t", ("t.parquet",), 1),),
    ),
    Layout(
        "a copy of a file is reported where it lies",
        fixed({"a/part-0.parquet": TWINS, "a/part-1.parquet": stock(), "b/part-0.parquet": TWINS}),
        (
            Table(
                "a",
                ("a/part-0.parquet", "a/part-1.parquet"),
                2,
                confidence="medium",
                because=("1 file is a copy of another, such as `",),
            ),
            Table("b", ("b/part-0.parquet",), 1, confidence="medium"),
        ),
    ),
]
