"""Spark SQL from end to end: every kind of statement that Iceberg has, with vended credentials."""

import pytest

from support.buckets import owners_client
from support.engine_matrix import Capability, lacks, proves
from support.patience import until
from support.spark import SEDONA_35, SPARK_35, SPARK_41, SparkError, on_both_lines, on_sampled_lines

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

MERGE_ON_READ = ", ".join(
    f"'write.{change}.mode'='merge-on-read'" for change in ("delete", "update", "merge")
)


@proves(SPARK_41, Capability.CONNECT, Capability.LIST, Capability.CREATE, Capability.DROP)
@proves(SPARK_35, Capability.CONNECT, Capability.LIST, Capability.CREATE, Capability.DROP)
@on_sampled_lines
def test_namespaces_are_made_nested_described_listed_and_dropped(spark, space):
    spark.sql(f"create namespace lake.{space}.inner comment 'within'")
    spark.sql(f"alter namespace lake.{space}.inner set dbproperties ('colour'='blue')")

    assert spark.sql(f"show namespaces in lake.{space}") == [[f"{space}.inner"]]
    told = dict(spark.sql(f"describe namespace extended lake.{space}.inner"))
    assert told["Comment"] == "within"
    assert "(colour,blue)" in told["Properties"]
    spark.sql(f"drop namespace lake.{space}.inner")
    spark.sql(f"drop namespace lake.{space}")
    assert [space] not in spark.sql("show namespaces in lake")


@proves(SPARK_41, Capability.NAMES, Capability.WRITE, Capability.READ, Capability.VENDED)
@proves(SPARK_35, Capability.NAMES, Capability.WRITE, Capability.READ, Capability.VENDED)
@proves(SEDONA_35, Capability.VENDED)
@on_both_lines
def test_rows_are_inserted_updated_merged_deleted_and_overwritten(spark, space):
    table = f"lake.{space}.t"
    spark.sql(
        f"create table {table} (id bigint, city string, at timestamp) using iceberg"
        " partitioned by (bucket(4, id), days(at))"
    )
    spark.sql(
        f"insert into {table} values (1, 'Paris', timestamp'2026-01-01 00:00:00'),"
        " (2, 'Lima', timestamp'2026-01-02 00:00:00'), (3, 'Tokyo', null)"
    )
    spark.sql(f"update {table} set city = 'Roma' where id = 2")
    spark.sql(f"delete from {table} where id = 3")
    spark.sql(
        f"merge into {table} t using (select 2 id, 'Bern' city, null at union all"
        " select 9, 'Oslo', null) s on t.id = s.id"
        " when matched then update set city = s.city when not matched then insert *"
    )
    assert spark.sql(f"select id, city from {table} order by id") == [
        [1, "Paris"],
        [2, "Bern"],
        [9, "Oslo"],
    ]
    spark.sql(f"insert overwrite {table} select * from {table} where id < 9")
    assert spark.sql(f"select id from {table} order by id") == [[1], [2]]
    operations = spark.sql(f"select operation from {table}.snapshots order by committed_at")
    assert [name for (name,) in operations] == [
        "append",
        "overwrite",
        "delete",
        "overwrite",
        "overwrite",
    ]


@proves(SPARK_41, Capability.ROW_DELETES, figure="deletion vectors and row ids of format v3")
@proves(SPARK_35, Capability.ROW_DELETES, figure="deletion vectors and row ids of format v3")
@proves(SEDONA_35, Capability.ROW_DELETES, figure="deletion vectors and row ids of format v3")
@pytest.mark.parametrize(("version", "deletes"), [(2, "PARQUET"), (3, "PUFFIN")])
@on_both_lines
def test_rows_are_deleted_beside_the_data(spark, space, version, deletes):
    table = f"lake.{space}.beside"
    spark.sql(
        f"create table {table} (id bigint, v string) using iceberg"
        f" tblproperties ('format-version'='{version}', {MERGE_ON_READ})"
    )
    spark.sql(f"insert into {table} select id, 'x' from range(0, 100, 1, 1)")
    spark.sql(f"delete from {table} where id in (3, 4)")
    spark.sql(f"update {table} set v = 'y' where id = 5")

    found = spark.sql(f"select content, file_format, record_count from {table}.delete_files")
    assert found == [[1, deletes, 3]]
    rows = spark.sql(f"select id, v from {table} where id < 7 order by id")
    assert rows == [[0, "x"], [1, "x"], [2, "x"], [5, "y"], [6, "x"]]
    if version == 3:
        lineage = f"select id, _row_id, _last_updated_sequence_number from {table}"
        assert spark.sql(f"{lineage} where id in (2, 5, 6) order by id") == [
            [2, 2, 1],
            [5, 5, 3],
            [6, 6, 1],
        ]


@proves(SPARK_41, Capability.ROW_DELETES)
@on_sampled_lines
def test_a_table_that_moves_to_format_3_keeps_its_rows_and_gives_them_ids(spark, space):
    table = f"lake.{space}.moving"
    spark.sql(
        f"create table {table} (id bigint) using iceberg"
        f" tblproperties ('format-version'='2', {MERGE_ON_READ})"
    )
    spark.sql(f"insert into {table} select id from range(0, 10, 1, 1)")
    spark.sql(f"delete from {table} where id = 3")
    spark.sql(f"alter table {table} set tblproperties ('format-version'='3')")
    spark.sql(f"insert into {table} values (10)")
    spark.sql(f"delete from {table} where id = 4")

    rows = spark.sql(f"select id, _row_id is not null from {table} order by id")
    assert rows == [[i, True] for i in (0, 1, 2, 5, 6, 7, 8, 9, 10)]


@proves(SPARK_41, Capability.SCHEMA)
@proves(SPARK_35, Capability.SCHEMA)
@proves(SEDONA_35, Capability.SCHEMA)
@on_sampled_lines
def test_columns_partitions_and_order_change_under_the_rows(spark, space):
    table = f"lake.{space}.t"
    spark.sql(
        f"create table {table} (id bigint, city string, at timestamp) using iceberg"
        " partitioned by (bucket(4, id), days(at)) tblproperties ('a'='b')"
    )
    spark.sql(f"insert into {table} values (1, 'Paris', null)")
    for change in (
        "add column (pop int comment 'people', box struct<xmin: double, ymin: double>)",
        "add column box.xmax double",
        "rename column city to town",
        "alter column pop type bigint",
        "alter column pop first",
        "alter column town comment 'name'",
        "drop column box.ymin",
        "add partition field truncate(town, 2)",
        "drop partition field days(at)",
        "replace partition field bucket(4, id) with bucket(8, id)",
        "write distributed by partition locally ordered by town desc nulls last, id",
        "set tblproperties ('comment'='hello')",
        "unset tblproperties ('a')",
    ):
        spark.sql(f"alter table {table} {change}")
    spark.sql(
        f"insert into {table} values"
        " (null, 2, 'Oslo', null, named_struct('xmin', 1.0d, 'xmax', 2.0d))"
    )

    assert spark.sql(f"select * from {table} order by id") == [
        [None, 1, "Paris", None, None],
        [None, 2, "Oslo", None, {"xmin": 1.0, "xmax": 2.0}],
    ]
    told = {name: (kind, note) for name, kind, note in spark.sql(f"describe extended {table}")}
    assert told["pop"] == ("bigint", "people")
    assert told["box"][0] == "struct<xmin:double,xmax:double>"
    assert (told["Part 0"][0], told["Part 1"][0]) == ("truncate(2, town)", "bucket(8, id)")
    assert told["Comment"][0] == "hello"
    assert "write.distribution-mode=hash" in told["Table Properties"][0]
    order = spark.catalog.pyiceberg().load_table(f"{space}.t").sort_order()
    assert [str(field) for field in order.fields] == ["2 DESC NULLS LAST", "1 ASC NULLS FIRST"]


@proves(SPARK_41, Capability.TIME_TRAVEL)
@proves(SPARK_35, Capability.TIME_TRAVEL)
@proves(SEDONA_35, Capability.TIME_TRAVEL)
@on_sampled_lines
def test_branches_tags_and_the_past_are_read_and_written(spark, space):
    table = f"lake.{space}.t"
    spark.sql(f"create table {table} (id bigint) using iceberg")
    spark.sql(f"insert into {table} values (1)")
    ((first, at),) = spark.sql(
        f"select snapshot_id, cast(unix_millis(committed_at) as string) from {table}.snapshots"
    )
    spark.sql(f"alter table {table} create tag first retain 30 days")
    spark.sql(f"alter table {table} create branch audit")
    spark.sql(f"insert into {table}.branch_audit values (2)")

    def count(clause: str = "") -> int:
        return spark.sql(f"select count(*) from {table} {clause}")[0][0]

    assert (count(), count("version as of 'audit'")) == (1, 2)
    spark.sql(f"call lake.system.fast_forward('{space}.t', 'main', 'audit')")
    assert (count(), count("version as of 'first'"), count(f"version as of {first}")) == (2, 1, 1)
    assert count(f"timestamp as of timestamp_millis({at})") == 1
    spark.sql(f"alter table {table} drop branch audit")
    spark.sql(f"call lake.system.rollback_to_snapshot('{space}.t', {first})")
    assert count() == 1
    refs = spark.sql(f"select name, type, snapshot_id from {table}.refs order by name")
    assert refs == [["first", "TAG", first], ["main", "BRANCH", first]]


@proves(SPARK_41, Capability.READ)
@on_sampled_lines
def test_metadata_tables_tell_of_files_and_history(spark, space):
    table = f"lake.{space}.t"
    spark.sql(f"create table {table} (id bigint, part int) using iceberg partitioned by (part)")
    spark.sql(f"insert into {table} select id, cast(id % 2 as int) from range(10)")
    spark.sql(f"delete from {table} where part = 1")

    counts = {
        name: spark.sql(f"select count(*) from {table}.{name}")[0][0]
        for name in (
            *("history", "snapshots", "metadata_log_entries", "files", "data_files"),
            *("manifests", "partitions", "all_data_files", "position_deletes", "refs", "entries"),
        )
    }
    written = spark.sql(f"select count(*) from {table}.all_data_files")[0][0]
    assert counts == {
        "history": 2,
        "snapshots": 2,
        "metadata_log_entries": 3,
        "files": counts["files"],
        "data_files": counts["files"],
        "manifests": 1,
        "partitions": 1,
        "all_data_files": written,
        "position_deletes": 0,
        "refs": 1,
        "entries": counts["entries"],
    }
    assert 0 < counts["files"] < written
    assert spark.sql(f"select sum(record_count) from {table}.files") == [[5]]


@proves(SPARK_41, Capability.CREATE)
@proves(SPARK_35, Capability.CREATE)
@on_sampled_lines
def test_tables_are_made_and_replaced_by_queries(spark, space):
    table = f"lake.{space}.made"
    spark.sql(
        f"create table {table} using iceberg partitioned by (part)"
        " as select id, id % 2 as part from range(4)"
    )
    assert spark.sql(f"select sum(id) from {table}") == [[6]]
    spark.sql(f"replace table {table} using iceberg as select 1 as x")
    spark.sql(f"create or replace table {table} using iceberg as select 2 as y, 'a' as z")
    assert spark.sql(f"select * from {table}") == [[2, "a"]]
    assert spark.sql(f"select count(*) from {table}.snapshots") == [[3]]


@proves(SPARK_41, Capability.WRITE, figure="compaction, expiry, orphans, statistics")
@proves(SPARK_35, Capability.WRITE, figure="compaction, expiry, orphans, statistics")
@on_sampled_lines
def test_a_table_is_kept_in_order_by_sparks_procedures(spark, space):
    table, name = f"lake.{space}.t", f"{space}.t"
    spark.sql(
        f"create table {table} (id bigint, town string) using iceberg"
        " partitioned by (truncate(1, town))"
    )
    for i in range(4):
        spark.sql(f"insert into {table} values ({i}, 'n{i}')")
    location = spark.sql(f"describe extended {table}")
    root = next(value for key, value, _ in location if key == "Location").removeprefix("s3://lake/")
    s3 = owners_client(spark.catalog.server.store)

    def call(procedure: str, arguments: str) -> list:
        return spark.sql(f"call lake.system.{procedure}({arguments})")

    def keys() -> set[str]:
        return {o["Key"] for o in s3.list_objects_v2(Bucket="lake", Prefix=root)["Contents"]}

    everything = "options => map('rewrite-all', 'true')"
    compacted = call("rewrite_data_files", f"table => '{name}', {everything}")
    assert compacted[0][:2] == [4, 1]
    sort = "strategy => 'sort', sort_order => 'zorder(id, town)'"
    assert call("rewrite_data_files", f"table => '{name}', {sort}, {everything}")[0][:2] == [1, 1]
    assert call("rewrite_manifests", f"'{name}'") != []
    before = keys()
    future = "timestamp'2099-01-01 00:00:00'"
    expired = call("expire_snapshots", f"table => '{name}', older_than => {future}")
    assert expired[0][0] == 5  # the data files of four inserts and of the first compaction
    assert before - keys() != set()
    assert call("compute_table_stats", f"'{name}'")[0][0].endswith(".stats")
    assert call("compute_partition_stats", f"'{name}'") is not None
    assert len(call("ancestors_of", f"'{name}'")) == 1

    s3.put_object(Bucket="lake", Key=f"{root}/data/forgotten.parquet", Body=b"x")
    listing = f"table => '{name}', prefix_listing => true"
    assert call("remove_orphan_files", listing) == []  # younger than three days
    spark.python(
        "actions = spark._jvm.org.apache.iceberg.spark.actions.SparkActions.get()\n"
        "load = spark._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable\n"
        f"orphans = actions.deleteOrphanFiles(load(spark._jsparkSession, {table!r}))\n"
        "orphans.usePrefixListing(True).olderThan(4102444800000).execute()"
    )
    assert f"{root}/data/forgotten.parquet" not in keys()
    assert spark.sql(f"select id, town from {table} order by id") == [
        [i, f"n{i}"] for i in range(4)
    ]


@proves(SPARK_41, Capability.VIEWS)
@proves(SPARK_35, Capability.VIEWS)
@proves(SEDONA_35, Capability.VIEWS)
@on_both_lines
def test_views_are_made_replaced_described_renamed_and_dropped(spark, space):
    spark.sql(f"create table lake.{space}.t using iceberg as select id from range(10)")
    view = f"lake.{space}.v"
    spark.sql(f"create view {view} as select id from lake.{space}.t")
    assert spark.sql(f"select count(*) from {view}") == [[10]]
    spark.sql(
        f"create or replace view {view} (k comment 'key') tblproperties ('p'='q')"
        f" as select id from lake.{space}.t where id < 2"
    )
    spark.sql(f"alter view {view} set tblproperties ('r'='s')")
    assert spark.sql(f"select k from {view} order by k") == [[0], [1]]
    assert spark.sql(f"show views in lake.{space}") == [[space, "v", False]]
    (made,) = spark.sql(f"show create table {view}")[0]
    assert "'p' = 'q'" in made
    assert "'r' = 's'" in made
    spark.sql(f"alter view {view} rename to lake.{space}.w")
    assert spark.sql(f"show views in lake.{space}") == [[space, "w", False]]
    spark.sql(f"drop view lake.{space}.w")
    assert spark.sql(f"show views in lake.{space}") == []


@proves(SPARK_41, Capability.DROP)
@proves(SPARK_35, Capability.DROP)
@proves(SEDONA_35, Capability.DROP)
@on_sampled_lines
def test_tables_are_renamed_registered_anew_dropped_and_purged(spark, space):
    table = f"lake.{space}.t"
    spark.sql(f"create table {table} using iceberg as select id from range(3)")
    spark.sql(f"alter table {table} rename to {space}.moved")
    assert spark.sql(f"show tables in lake.{space}") == [[space, "moved", False]]
    ((file,),) = spark.sql(
        f"select max_by(file, timestamp) from lake.{space}.moved.metadata_log_entries"
    )
    spark.sql(f"drop table lake.{space}.moved")
    spark.sql(
        f"call lake.system.register_table(table => '{space}.again', metadata_file => '{file}')"
    )
    assert spark.sql(f"select id from lake.{space}.again order by id") == [[0], [1], [2]]

    spark.sql(f"drop table lake.{space}.again purge")
    assert spark.sql(f"show tables in lake.{space}") == []
    s3 = owners_client(spark.catalog.server.store)
    folder = file.removeprefix("s3://lake/").partition("/metadata/")[0]
    # The server deletes, after it has answered.
    until(lambda: "Contents" not in s3.list_objects_v2(Bucket="lake", Prefix=f"{folder}/"))


@proves(SPARK_41, Capability.WRITE, figure="variant columns of format v3")
@pytest.mark.parametrize("spark", ["4.1"], indirect=True)
def test_variants_are_written_and_read(spark, space):
    table = f"lake.{space}.v"
    spark.sql(
        f"create table {table} (id bigint, v variant) using iceberg"
        " tblproperties ('format-version'='3')"
    )
    spark.sql(f"""insert into {table} select 1, parse_json('{{"a": {{"b": 7}}}}')""")
    assert spark.sql(f"select id, variant_get(v, '$.a.b', 'int') from {table}") == [[1, 7]]


@lacks(
    SPARK_41,
    Capability.WRITE,
    "`remove_orphan_files` lists with Hadoop, which has no S3 here",
    instead="`prefix_listing => true`",
)
@pytest.mark.parametrize("spark", ["4.1"], indirect=True)
def test_orphans_are_looked_for_by_hadoop_unless_told_otherwise(spark, space):
    spark.sql(f"create table lake.{space}.t (id bigint) using iceberg")
    with pytest.raises(SparkError, match='No FileSystem for scheme "s3"'):
        spark.sql(f"call lake.system.remove_orphan_files(table => '{space}.t')")


@lacks(
    SPARK_35,
    Capability.SPATIAL,
    "no geometry columns of format v3",
    instead="WKB in binary columns, with Sedona",
)
def test_spark_3_has_no_word_for_geometries(sedona):
    with pytest.raises(SparkError, match="Unsupported data type"):
        sedona.sql("create table lake.geometries.t (geom geometry(4326)) using iceberg")


@lacks(
    SPARK_41,
    Capability.TRANSACTIONS,
    "has no words for transactions",
    instead="DuckDB and Java's `RESTCatalog.commitTransaction` change several tables at once",
)
@pytest.mark.parametrize("spark", ["4.1"], indirect=True)
def test_spark_has_no_word_for_transactions(spark):
    with pytest.raises(SparkError, match="INVALID_STATEMENT_OR_CLAUSE"):
        spark.sql("start transaction")
