import pytest

from graticule.discovery.path_grammar import (
    DataPath,
    HiveValue,
    parse_path,
    reason_to_ignore,
    table_format_root,
)


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
    ],
)
def test_a_key_tells_its_root_and_partition_values(key, root, hive):
    assert parse_path(key) == DataPath(key, root, "a.parquet", hive)


@pytest.mark.parametrize(
    ("key", "size_bytes", "reason"),
    [
        ("x/a.parquet", 9, None),
        ("x/A.PARQUET", 9, None),
        ("x/a.geoparquet", 9, None),
        ("x/_part=1/a.parquet", 9, None),
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
        ("x/_delta_log/0.json", "x/"),
        ("x/.hoodie/hoodie.properties", "x/"),
        ("x/metadata/readme.json", None),
        ("x/metadata.json", None),
    ],
)
def test_tables_of_other_formats_are_betrayed_by_their_metadata(key, root):
    found = table_format_root(key)
    assert (found and found[0]) == root
