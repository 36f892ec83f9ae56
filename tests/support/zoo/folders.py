"""Layouts by path: files, folders, partitions, dates, tiles, crowds and names."""

import pyarrow as pa

from support.parquet_files import parquet
from support.zoo.layout import Layout, Table, cities, fixed, ids, plain, roads, stock


def year_file(year: int) -> bytes:
    return parquet({"id": ids(), "year": pa.array([year], pa.int32())})


WIDE = ("de", "fr", "it", "at", "ch", "es", "pt", "nl", "be", "lu", "dk", "se")

LAYOUTS = [
    Layout(
        "one file is a table named after it",
        fixed({"airports.parquet": cities()}),
        (Table("airports", ("airports.parquet",), 1, place="geometry WKB OGC:CRS84"),),
    ),
    Layout(
        "a file below a folder has the folder for a namespace",
        fixed({"places/airports.parquet": cities()}),
        (
            Table(
                "places.airports", ("places/airports.parquet",), 1, place="geometry WKB OGC:CRS84"
            ),
        ),
    ),
    Layout(
        "a folder of files is a table named after the folder",
        fixed({f"cities/part-{n}.parquet": cities() for n in range(3)}),
        (
            Table(
                "cities",
                tuple(f"cities/part-{n}.parquet" for n in range(3)),
                3,
                place="geometry WKB OGC:CRS84",
                because=("3 files of one schema",),
            ),
        ),
    ),
    Layout(
        "files of many names and one schema are one table",
        fixed({f"countries/{code}.parquet": plain(1) for code in WIDE}),
        (Table("countries", tuple(f"countries/{code}.parquet" for code in sorted(WIDE)), 12),),
    ),
    Layout(
        "typed partition folders are partition columns",
        fixed(
            {
                "t/year=2020/month=01/a.parquet": plain(),
                "t/year=2021/month=12/a.parquet": plain(),
            }
        ),
        (
            Table(
                "t",
                ("t/year=2020/month=01/a.parquet", "t/year=2021/month=12/a.parquet"),
                4,
                by="year int, month int",
                because=("partitioned by `year`, `month` in folder names",),
            ),
        ),
    ),
    Layout(
        "a null partition and an escaped one are values like others",
        fixed(
            {
                "t/c=EU/a.parquet": plain(),
                "t/c=__HIVE_DEFAULT_PARTITION__/a.parquet": plain(),
                "t/c=a%2Fb c/a.parquet": plain(),
            }
        ),
        (
            Table(
                "t",
                (
                    "t/c=EU/a.parquet",
                    "t/c=__HIVE_DEFAULT_PARTITION__/a.parquet",
                    "t/c=a%2Fb c/a.parquet",
                ),
                6,
                by="c string",
            ),
        ),
    ),
    Layout(
        "partition keys may be words of any script",
        fixed({f"t/größe m²={size}/a.parquet": plain() for size in (1, 2)}),
        (
            Table(
                "t",
                ("t/größe m²=1/a.parquet", "t/größe m²=2/a.parquet"),
                4,
                by="größe m² int",
            ),
        ),
    ),
    Layout(
        "partition folders of mixed depth are one table with nulls",
        fixed({"t/year=2020/a.parquet": plain(), "t/year=2021/month=03/a.parquet": plain()}),
        (
            Table(
                "t",
                ("t/year=2020/a.parquet", "t/year=2021/month=03/a.parquet"),
                4,
                by="year int, month int",
                confidence="medium",
                because=("1 file in fewer partition folders",),
            ),
        ),
    ),
    Layout(
        "a partition column that the files hold keeps their type",
        fixed({f"t/year={year}/a.parquet": year_file(year) for year in (2020, 2021)}),
        (Table("t", ("t/year=2020/a.parquet", "t/year=2021/a.parquet"), 2, by="year int"),),
    ),
    Layout(
        "a partition folder that its files contradict is no partition",
        fixed({"t/year=2020/a.parquet": year_file(2020), "t/year=2021/a.parquet": year_file(1999)}),
        (
            Table(
                "t",
                ("t/year=2020/a.parquet", "t/year=2021/a.parquet"),
                2,
                confidence="medium",
                because=("folder names do not fit column `year`",),
            ),
        ),
    ),
    Layout(
        "dated folders are one table",
        fixed(
            {
                f"logs/2024/{m:02}/{d:02}/part-0.parquet": plain()
                for m, d in ((1, 2), (1, 3), (2, 1))
            }
        ),
        (
            Table(
                "logs",
                tuple(f"logs/2024/{day}/part-0.parquet" for day in ("01/02", "01/03", "02/01")),
                6,
                because=("folders by date, such as `2024/01/02`",),
            ),
        ),
    ),
    Layout(
        "a file of the same name in each dated folder may be a copy of the whole",
        fixed({f"export/2024-0{n}-01/roads.parquet": roads() for n in (1, 2)}),
        (
            Table(
                "export.roads",
                ("export/2024-01-01/roads.parquet", "export/2024-02-01/roads.parquet"),
                2,
                confidence="medium",
                because=("each of 2 folders has a file named `roads`",),
            ),
        ),
    ),
    Layout(
        "dated folders with files of several subjects are a table for each",
        fixed(
            {
                f"export/2024-0{n}-01/{name}.parquet": make()
                for n in (1, 2)
                for name, make in (("roads", roads), ("stock", stock))
            }
        ),
        tuple(
            Table(
                f"export.{name}",
                (f"export/2024-01-01/{name}.parquet", f"export/2024-02-01/{name}.parquet"),
                2,
                confidence="medium",
                because=("told from the others by the names of the files",),
            )
            for name in ("roads", "stock")
        ),
    ),
    Layout(
        "tiled folders are one table",
        fixed({f"tiles/3/{x}/{y}.parquet": cities((x, y)) for x in (4, 5) for y in (1, 2)}),
        (
            Table(
                "tiles",
                tuple(f"tiles/3/{x}/{y}.parquet" for x in (4, 5) for y in (1, 2)),
                4,
                place="geometry WKB OGC:CRS84",
                because=("folders by tile, such as `3/4`",),
            ),
        ),
    ),
    Layout(
        "quadkeys are one table",
        fixed({f"tiles/{key}/data.parquet": cities() for key in ("0231", "0232")}),
        (
            Table(
                "tiles",
                ("tiles/0231/data.parquet", "tiles/0232/data.parquet"),
                2,
                place="geometry WKB OGC:CRS84",
                because=("folders by quadkey",),
            ),
        ),
    ),
    Layout(
        "folders named by cells of a grid are one table",
        fixed({f"cells/{h3}/0.parquet": plain(1) for h3 in ("8a2a1072b59ffff", "8a2a1072b5affff")}),
        (
            Table(
                "cells",
                ("cells/8a2a1072b59ffff/0.parquet", "cells/8a2a1072b5affff/0.parquet"),
                2,
                confidence="medium",
                because=("folders by hash",),
            ),
        ),
    ),
    Layout(
        "dated folders whose schemas differ are tables of their own",
        fixed({"census/2010/part-0.parquet": roads(), "census/2020/part-0.parquet": stock()}),
        (
            Table(
                "census.t_2010",
                ("census/2010/part-0.parquet",),
                1,
                confidence="medium",
                because=("other schemas in the folders beside it",),
            ),
            Table("census.t_2020", ("census/2020/part-0.parquet",), 1, confidence="medium"),
        ),
    ),
    Layout(
        "a dataset inside another is a table of its own",
        fixed(
            {
                "a/part-0.parquet": plain(),
                "a/part-1.parquet": plain(),
                "a/b/part-0.parquet": plain(),
                "a/b/c/z.parquet": roads(),
            }
        ),
        (
            Table("a", ("a/part-0.parquet", "a/part-1.parquet"), 4),
            Table("a.b", ("a/b/part-0.parquet",), 2),
            Table("a_b_c.z", ("a/b/c/z.parquet",), 1),
        ),
    ),
    Layout(
        "loose files beside partition folders are another table",
        fixed({"t/c=1/a.parquet": plain(), "t/loose.parquet": plain()}),
        (
            Table(
                "t",
                ("t/c=1/a.parquet",),
                2,
                by="c int",
                because=("without what lies beside its folders: 1 file",),
            ),
            Table(
                "t.loose",
                ("t/loose.parquet",),
                2,
                because=("lies beside folders of `c`, which are a table of their own",),
            ),
        ),
    ),
    Layout(
        "partitions that tell subjects apart are a table for each subject",
        fixed(
            {
                "rel/theme=roads/type=segment/part-0.parquet": roads(),
                "rel/theme=roads/type=segment/part-1.parquet": roads(),
                "rel/theme=shops/type=stock/part-0.parquet": stock(),
            }
        ),
        (
            Table(
                "rel.roads",
                (
                    "rel/theme=roads/type=segment/part-0.parquet",
                    "rel/theme=roads/type=segment/part-1.parquet",
                ),
                2,
                by="theme string, type string",
                confidence="medium",
                because=("one table of several that `theme` tell apart",),
            ),
            Table(
                "rel.shops",
                ("rel/theme=shops/type=stock/part-0.parquet",),
                1,
                by="theme string, type string",
                confidence="medium",
            ),
        ),
    ),
    Layout(
        "a crowd of folders of one schema is one table and not a crowd of tables",
        fixed({f"shops/{code}/part-0.parquet": stock() for code in WIDE}),
        (
            Table(
                "shops",
                tuple(f"shops/{code}/part-0.parquet" for code in sorted(WIDE)),
                12,
                confidence="low",
                because=(
                    "12 folders of the same columns (`at`, `be`, `ch`, …) are taken for one table",
                    "the alternative is a table for each",
                ),
            ),
        ),
    ),
    Layout(
        "the same datasets in a crowd of folders are a table for each dataset",
        fixed(
            {
                f"land/{code}/{name}/part-0.parquet": make()
                for code in WIDE
                for name, make in (("roads", roads), ("stock", stock))
            }
        ),
        tuple(
            Table(
                f"land.{name}",
                tuple(f"land/{code}/{name}/part-0.parquet" for code in sorted(WIDE)),
                12,
                confidence="low",
            )
            for name in ("roads", "stock")
        ),
    ),
    Layout(
        "a few folders of one schema stay tables of their own",
        fixed({f"{code}/roads/part-0.parquet": roads() for code in ("de", "fr")}),
        tuple(
            Table(f"{code}.roads", (f"{code}/roads/part-0.parquet",), 1) for code in ("de", "fr")
        ),
    ),
    Layout(
        "names in other scripts, with spaces and escapes are made legal",
        fixed(
            {
                "Straßen Zürich/part-0.parquet": roads(),
                "日本/道路/part-0.parquet": stock(),
                "world%20cities/part-0.parquet": cities(),
                "2024 census (final)/part-0.parquet": plain(),
            }
        ),
        (
            Table("stra_en_zurich", ("Straßen Zürich/part-0.parquet",), 1),
            Table("table_cf2abf.table_a44c7b", ("日本/道路/part-0.parquet",), 1),
            Table(
                "world_cities",
                ("world%20cities/part-0.parquet",),
                1,
                place="geometry WKB OGC:CRS84",
            ),
            Table("t_2024_census_final", ("2024 census (final)/part-0.parquet",), 2),
        ),
    ),
    Layout(
        "names that only differ by case are told apart",
        fixed({"Roads/part-0.parquet": roads(), "roads/part-0.parquet": stock()}),
        (
            Table(
                "roads_*",
                ("Roads/part-0.parquet",),
                1,
                confidence="medium",
                because=("another dataset is named almost like `Roads`",),
            ),
            Table("roads", ("roads/part-0.parquet",), 1),
        ),
    ),
    Layout(
        "a very long name is cut and marked",
        fixed({f"{'x' * 200}/part-0.parquet": roads()}),
        (Table("x" * 121 + "_*", (f"{'x' * 200}/part-0.parquet",), 1),),
    ),
    Layout(
        "files at the very root take the name of what was scanned",
        fixed({"part-0.parquet": plain(), "part-1.parquet": plain()}),
        (Table("*", ("part-0.parquet", "part-1.parquet"), 4),),
    ),
    Layout(
        "patterns keep folders and files out",
        fixed(
            {
                "tmp/part-0.parquet": roads(),
                "t/part-0.parquet": plain(),
                "t/old.parquet": plain(),
                "t/backup/part-0.parquet": plain(),
            }
        ),
        (Table("t", ("t/part-0.parquet",), 2),),
        skipped={
            "/tmp/**": "ignored by this pattern: 1 object",
            "backup": "ignored by this pattern: 1 object",
            "old.*": "ignored by this pattern: 1 object",
        },
        ignore=("/tmp/**", "backup", "old.*"),
    ),
    Layout(
        "what writers leave behind is passed over",
        fixed(
            {
                "t/part-0.parquet": plain(),
                "t/_SUCCESS": b"",
                "t/.part-0.parquet.crc": b"crc",
                "t/part-0.parquet.crc": b"crc",
                "t/_temporary/0/x.parquet": plain(),
                "t/.hidden/x.parquet": plain(),
                "t_$folder$": b"",
                "t/empty.parquet": b"",
                "t/notes.txt": b"hello",
            }
        ),
        (Table("t", ("t/part-0.parquet",), 2),),
        skipped={"t/empty.parquet": "empty", "t/notes.txt": "not a Parquet file"},
    ),
    Layout(
        "files without a suffix are what they hold",
        fixed({"hive/000000_0": plain(), "hive/000001_0": plain(), "raw/000000_0": b"text " * 9}),
        (Table("hive", ("hive/000000_0", "hive/000001_0"), 4),),
        skipped={"raw/000000_0": "it does not end like a Parquet file"},
    ),
]
