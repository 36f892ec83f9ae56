import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.discovery.existing_tables import existing_tables
from graticule.discovery.formats import convertible_format, foreign_roots
from graticule.discovery.ignoring import Ignored
from graticule.discovery.path_grammar import HiveValue, parse_path, reason_to_ignore
from graticule.discovery.value_folders import FolderKind, describe, kind_of
from graticule.domain.errors import InvalidRequest
from graticule.domain.location import Location, is_plain_key


@pytest.mark.parametrize(
    ("key", "root", "hive"),
    [
        ("a.parquet", "", ()),
        ("x/y/a.parquet", "x/y/", ()),
        ("x/year=2020/a.parquet", "x/", (HiveValue("year", "2020"),)),
        ("year=2020/month=01/a.parquet", "", (HiveValue("year", "2020"), HiveValue("month", "01"))),
        ("x/c=a%2Fb%20c/a.parquet", "x/", (HiveValue("c", "a/b c"),)),
        ("x/c=__HIVE_DEFAULT_PARTITION__/a.parquet", "x/", (HiveValue("c", None),)),
        ("x/c=/a.parquet", "x/", (HiveValue("c", None),)),
        ("x/c=1/day/a.parquet", "x/", (HiveValue("c", "1"),)),
        ("x/=1/a.parquet", "x/=1/", ()),
        ("x/c=a=b/a.parquet", "x/", (HiveValue("c", "a=b"),)),
        ("x/2020/01/c=1/a.parquet", "x/", (HiveValue("c", "1"),)),
    ],
)
def test_a_key_tells_its_root_and_partition_values(key, root, hive):
    path = parse_path(key)
    assert (path.root, path.file_name, path.hive) == (root, "a.parquet", hive)


@pytest.mark.parametrize(
    ("key", "base", "words", "values", "root"),
    [
        ("x/2020/01/31/a.parquet", "", ("x",), ("2020", "01", "31"), "x/"),
        ("x/2020/roads/a.parquet", "", ("x", "roads"), ("2020",), "x/"),
        ("x/2020/roads/a.parquet", "x/", ("roads",), ("2020",), "x/"),
        ("x/2020/roads/a.parquet", "x/2020/", ("roads",), (), "x/2020/roads/"),
        ("2020/a.parquet", "", (), ("2020",), ""),
    ],
)
def test_folders_of_values_do_not_name_a_table(key, base, words, values, root):
    path = parse_path(key, base=base)
    assert (path.words, path.values, path.root) == (words, values, root)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("2024", FolderKind.DATE),
        ("2024-01", FolderKind.DATE),
        ("2024-01-31", FolderKind.DATE),
        ("20240131", FolderKind.DATE),
        ("2024-01-31T06", FolderKind.DATE),
        ("20240131_060000", FolderKind.DATE),
        ("2024Q1", FolderKind.DATE),
        ("2024-W05", FolderKind.DATE),
        ("01", FolderKind.NUMBER),
        ("20241331", FolderKind.NUMBER),
        ("part-3", FolderKind.NUMBER),
        ("z12", FolderKind.TILE),
        ("8a2a1072b59ffff", FolderKind.HASH),
        ("8f1c5f6e-1b7e-4d3a-9f55-000000000000", FolderKind.HASH),
        ("v1", FolderKind.WORD),
        ("roads2024", FolderKind.WORD),
        ("de", FolderKind.WORD),
        ("facade12", FolderKind.WORD),
        ("deadbeefcafe", FolderKind.WORD),
        ("data", FolderKind.WORD),
    ],
)
def test_dates_tiles_numbers_and_hashes_are_values_and_the_rest_are_words(name, kind):
    assert kind_of(name) is kind


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("2024", "01"), "folders by date, such as `2024/01`"),
        (("3", "4"), "folders by tile, such as `3/4`"),
        (("0231",), "folders by quadkey, such as `0231`"),
        (("7",), "numbered folders, such as `7`"),
        (("8a2a1072b59ffff",), "folders by hash, such as `8a2a1072b59ffff`"),
    ],
)
def test_what_values_mean_is_said(values, said):
    assert describe(values)[1] == said


@pytest.mark.parametrize(
    ("key", "size_bytes", "reason"),
    [
        ("x/a.parquet", 9, None),
        ("x/A.PARQUET", 9, None),
        ("x/a.geoparquet", 9, None),
        ("x/_part=1/a.parquet", 9, None),
        ("x/000000_0", 9, None),
        ("x/", 0, "a folder marker"),
        ("x_$folder$", 0, "a folder marker"),
        ("x/_SUCCESS", 0, "a hidden file"),
        ("x/_metadata", 9, "a hidden file"),
        ("x/.a.parquet.crc", 9, "a hidden file"),
        ("x/a.parquet.crc", 9, "a checksum or temporary file"),
        ("x/_temporary/0/a.parquet", 9, "in the hidden folder `_temporary`"),
        ("x/.staging/a.parquet", 9, "in the hidden folder `.staging`"),
        ("x/a.parquet", 0, "empty"),
        ("x/notes.txt", 9, "not a Parquet file"),
        ("x/parquet", 9, "not a Parquet file"),
        ("x/a.orc", 9, "an ORC file: only Parquet is registered in place"),
        (
            "x/a.parquet.gz",
            9,
            "a Parquet file in a gzip file: unpack it, since readers cannot seek in it",
        ),
    ],
)
def test_what_is_no_data_file_is_told_by_its_key(key, size_bytes, reason):
    assert reason_to_ignore(key, size_bytes) == reason


@pytest.mark.parametrize(
    ("key", "root"),
    [
        ("x/metadata/00000-1.metadata.json", "x/"),
        ("x/metadata/00000-1.gz.metadata.json", "x/"),
        ("x/metadata/00000-1.metadata.json.gz", "x/"),
        ("metadata/v1.metadata.json", ""),
        ("x/metadata/readme.json", None),
        ("x/metadata.json", None),
    ],
)
def test_iceberg_tables_are_betrayed_by_their_metadata(key, root):
    assert [table.root for table in existing_tables([key])] == ([] if root is None else [root])


def test_the_newest_metadata_file_is_current_unless_the_hint_says_otherwise():
    folder = "x/metadata/"
    names = ["v2.metadata.json", "v10.metadata.json", "v9.gz.metadata.json"]
    [table] = existing_tables([f"{folder}{name}" for name in names])
    assert table.current() == f"{folder}v10.metadata.json"
    assert table.current("2\n") == f"{folder}v2.metadata.json"
    assert table.current("9") == f"{folder}v9.gz.metadata.json"
    assert table.current("11") == table.current("nonsense") == f"{folder}v10.metadata.json"
    [named] = existing_tables([f"{folder}00009-b.metadata.json", f"{folder}00010-a.metadata.json"])
    assert named.current() == f"{folder}00010-a.metadata.json"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("x/_delta_log/0.json", [("x/", "a Delta Lake table")]),
        ("x/.hoodie/hoodie.properties", [("x/", "a Hudi table")]),
        ("x/t.lance/data/0.lance", [("x/t.lance/", "a Lance dataset")]),
        ("x/a.zarr/.zgroup", [("x/a.zarr/", "a Zarr array")]),
        ("x/schema/schema-0", [("x/", "a Paimon table")]),
        ("x/schema/readme", []),
        ("_delta_log/0.json", [("", "a Delta Lake table")]),
    ],
)
def test_tables_of_other_formats_are_betrayed_by_their_folders(key, found):
    assert list(foreign_roots(key)) == found


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.CSV", "CSV"),
        ("a.csv.gz", "CSV"),
        ("a.geojson", "GeoJSON"),
        ("a.fgb", "FlatGeobuf"),
        ("a.gpkg", "GeoPackage"),
        ("a.shp", "Shapefile"),
        ("a.txt", None),
        ("csv", None),
    ],
)
def test_files_that_could_be_converted_are_known_by_their_suffix(name, format_):
    assert convertible_format(name) == format_


@pytest.mark.parametrize(
    ("pattern", "ignored", "kept"),
    [
        ("tmp", ["tmp/a", "x/tmp/a/b", "tmp"], ["tmpx/a", "x/atmp"]),
        ("tmp/", ["tmp/a", "x/tmp/a"], ["tmp"]),
        ("tmp/**", ["tmp/a", "tmp/a/b"], ["x/tmp/a", "tmp"]),
        ("*.bak", ["a.bak", "x/a.bak"], ["a.bakery"]),
        ("x/*.parquet", ["x/a.parquet"], ["x/y/a.parquet", "z/x/a.parquet"]),
        ("x/**/old", ["x/old/a", "x/y/z/old/a"], ["old/a", "x/older/a"]),
        ("/top", ["top/a"], ["x/top/a"]),
        ("a?c", ["abc/x"], ["ac/x"]),
        ("a*b*c", ["abbc", "axbxc/y", "x/abcbc"], ["acb", "ab/c"]),
        ("we.rd+(x)", ["we.rd+(x)"], ["weard+(x)"]),
        ("**", ["anything/at/all"], []),
        ("[", ["x/["], ["a", "]"]),
        ("[ab]", ["[ab]/x"], ["a/x", "b"]),
        ("!a", ["!a"], ["a"]),
        ("\\*", ["\\x"], ["*", "x"]),
    ],
)
def test_patterns_ignore_as_in_a_gitignore(pattern, ignored, kept):
    rules = Ignored((pattern,), "lake/")
    assert [key for key in ignored if rules.by(f"lake/{key}") != pattern] == []
    assert [key for key in kept if rules.by(f"lake/{key}") is not None] == []
    assert rules.by("elsewhere/tmp/a") is None


@pytest.mark.parametrize("patterns", [("",), ("/",), ("x" * 513,), ("x",) * 101, ("**/" * 5,)])
def test_patterns_that_mean_nothing_are_refused(patterns):
    with pytest.raises(InvalidRequest):
        Ignored(patterns)


def test_a_pattern_of_many_stars_does_not_take_for_ever():
    assert Ignored(("*a" * 200 + "b",)).by("a" * 1000) is None


@given(
    st.lists(st.text("a_.=/é", max_size=6), max_size=4), st.sampled_from(["", ".parquet", ".crc"])
)
def test_what_is_certainly_data_is_what_a_closer_look_finds(parts, suffix):
    key = "/".join(parts) + suffix
    shouted = key.removesuffix(".parquet") + (".PARQUET" if key.endswith(".parquet") else "")
    assert reason_to_ignore(key, 1) == reason_to_ignore(shouted, 1)


@given(st.text("aZ0_.=-/é*", max_size=12))
def test_a_plain_key_is_safe_in_a_location(key):
    if is_plain_key(key):
        assert Location.parse(f"s3://bucket/{key}").key == key
