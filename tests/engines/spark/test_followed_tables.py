"""Tables that follow their folder, in the hands of Spark, which moves them to format version 3."""

from uuid import uuid4

import pytest

from support.lake import RawFolder, cities
from support.syncs import Syncs

pytestmark = [pytest.mark.s3, pytest.mark.client, pytest.mark.timeout(600)]


def test_rows_keep_their_ids_while_spark_and_the_folder_change_the_table(newest, http):
    raw = RawFolder(newest.catalog.server, newest.catalog, http, f"followed-{uuid4().hex[:8]}/")
    raw.put("cities/part-0.parquet", cities((1, 2.35, 48.86), (2, -77.03, -12.05)))
    raw.put("cities/part-1.parquet", cities((3, 139.69, 35.69)))
    namespace = f"f{uuid4().hex[:8]}"
    raw.register(raw.scan(), namespace=namespace)
    table = f"lake.{namespace}.cities"
    syncs = Syncs(raw)

    def added(**counts):
        [outcome] = [t for t in syncs.run()["tables"] if t["table"] == f"{namespace}.cities"]
        assert {name: outcome[name] for name in counts} == counts, outcome
        newest.sql(f"refresh table {table}")
        return dict(newest.sql(f"select id, _row_id from {table} order by id"))

    newest.sql(
        f"alter table {table} set tblproperties "
        "('format-version'='3', 'write.delete.mode'='merge-on-read')"
    )
    raw.put("cities/part-2.parquet", cities((4, 10.75, 59.91), (5, 4.9, 52.4)))
    first = added(status="committed", added=1)
    assert (set(first), len(set(first.values()))) == ({1, 2, 3, 4, 5}, 5)
    newest.sql(f"delete from {table} where id = 1")  # a deletion vector
    newest.sql(f"insert into {table} (id, geometry) select 9, geometry from {table} where id = 3")
    raw.put("cities/part-1.parquet", cities((3, 139.69, 35.69), (6, 0.0, 0.0)))
    raw.put("cities/part-3.parquet", cities((7, 1.0, 1.0)))
    second = added(added=1, overwritten=1)
    assert set(second) == {2, 3, 4, 5, 6, 7, 9}
    assert {id_: second[id_] for id_ in (2, 4, 5)} == {id_: first[id_] for id_ in (2, 4, 5)}
    new = [second[id_] for id_ in (3, 6, 7, 9)]
    assert not set(new) & set(first.values())
    assert len(set(second.values())) == 7
    newest.sql(f"call lake.system.rewrite_manifests('{namespace}.cities')")
    raw.put("cities/part-4.parquet", cities((8, 2.0, 2.0)))
    third = added(added=1)
    assert {id_: third[id_] for id_ in second} == second
    assert third[8] not in second.values()
