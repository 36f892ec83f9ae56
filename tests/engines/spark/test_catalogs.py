"""Several catalogs in one session, made while it runs, planned or signed for at the server."""

import json
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from support.engine_matrix import Capability, proves
from support.spark import SPARK_35, SPARK_41, on_both_lines, on_sampled_lines

pytestmark = [pytest.mark.s3, pytest.mark.timeout(600)]

AROUND_PARIS = "file_xmin <= 2.6 and file_xmax >= 2.1 and file_ymin <= 49.05 and file_ymax >= 48.7"
OF_A_JVM = "aws-sdk-java"
DELEGATION = "header.X-Iceberg-Access-Delegation"


def a_name() -> str:
    return f"c{uuid4().hex[:8]}"


@proves(SPARK_41, Capability.NEW_CATALOG, figure="the text once more, no restart")
@proves(SPARK_35, Capability.NEW_CATALOG, figure="the text once more, no restart")
@on_both_lines
def test_a_catalog_made_while_the_session_runs_is_usable_at_once(spark, space):
    """Beside the others: rows go from one catalog to the other, and are joined across."""
    spark.sql(f"create table lake.{space}.t using iceberg as select id from range(5)")
    made = spark.catalog.server.new_catalog()
    name = a_name()
    spark.connect(made, name)

    spark.sql(f"create namespace {name}.ns")
    spark.sql(f"create table {name}.ns.t using iceberg as select id from lake.{space}.t")
    spark.sql(f"insert into {name}.ns.t values (7)")
    assert spark.sql(
        f"select a.id, b.id from {name}.ns.t a left join lake.{space}.t b on a.id = b.id"
        " where a.id > 3 order by a.id"
    ) == [[4, 4], [7, None]]
    assert made.pyiceberg().load_table("ns.t").scan().to_arrow().num_rows == 6


@proves(SPARK_41, Capability.NEW_CATALOG)
@on_sampled_lines
def test_settings_of_a_running_session_are_all_that_a_new_catalog_needs(spark):
    made = spark.catalog.server.new_catalog()
    name = a_name()
    url = f"{spark.catalog.server.url}/catalog"
    for key, value in {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "rest",
        ".uri": url,
        ".oauth2-server-uri": f"{url}/v1/oauth/tokens",
        ".warehouse": made.name,
        ".credential": "env:GRATICULE_CREDENTIAL",
    }.items():
        spark.set(f"spark.sql.catalog.{name}{key}", value)

    spark.sql(f"create namespace {name}.ns")
    assert made.pyiceberg().list_namespaces() == [("ns",)]


@proves(SPARK_41, Capability.WINDOW, figure="planned at the server, no manifest leaves the store")
@proves(SPARK_35, Capability.WINDOW, figure="planned at the server, no manifest leaves the store")
@on_both_lines
def test_scans_planned_at_the_server_read_the_same_and_no_manifest(spark, lake, meter):
    question = (
        "select count(*), sum(geonameid) from {}.world.cities_hilbert"
        f" where {AROUND_PARIS} and population > 1000"
    )
    answers, manifests, files = [], [], []
    for mode in ("client", "server"):
        name = a_name()
        spark.connect(lake.catalog, name)
        spark.set(f"spark.sql.catalog.{name}.scan-planning-mode", mode)
        begun = len(meter.proxy.accesses)
        answers.append(spark.sql(question.format(name)))
        read = {
            urlsplit(access.path).path
            for access in meter.proxy.accesses[begun:]
            if access.method == "GET" and OF_A_JVM in access.user_agent
        }
        manifests.append(len([path for path in read if path.endswith(".avro")]))
        files.append({path for path in read if path.endswith(".parquet")})

    assert answers[0] == answers[1]
    assert manifests[0] > 0
    assert manifests[1] == 0
    assert files[0] == files[1]
    assert 0 < len(files[1]) < 10


@proves(SPARK_41, Capability.VENDED, figure="also by requests signed at the server")
@on_sampled_lines
def test_requests_are_signed_at_the_server_for_who_asks_for_that(spark):
    made = spark.catalog.server.new_catalog()
    name = a_name()
    spark.connect(made, name)
    spark.set(f"spark.sql.catalog.{name}.{DELEGATION}", "remote-signing")
    spark.sql(f"create namespace {name}.ns")
    spark.sql(f"create table {name}.ns.t (id bigint) using iceberg partitioned by (bucket(2, id))")
    spark.sql(f"insert into {name}.ns.t select id from range(20)")
    spark.sql(f"delete from {name}.ns.t where id < 5")

    assert spark.sql(f"select count(*), min(id) from {name}.ns.t") == [[15, 5]]
    properties = spark.python(
        "load = spark._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable\n"
        f"table = load(spark._jsparkSession, '{name}.ns.t')\n"
        "result = dict(table.io().properties())"
    )
    assert properties["s3.remote-signing-enabled"] == "true"
    assert "s3.secret-access-key" not in json.dumps(properties)
    spark.sql(f"drop table {name}.ns.t purge")


@proves(SPARK_41, Capability.READ)
@on_both_lines
def test_neither_log_nor_plan_nor_web_page_of_spark_shows_a_secret(spark, space, meter):
    table = f"lake.{space}.t"
    spark.sql(f"create table {table} using iceberg as select id from range(5)")
    shown = [spark.sql(f"explain extended select * from {table} where id > 2")]
    shown += spark.sql(f"show tblproperties {table}")
    shown += spark.sql("set")
    shown.append(
        spark.python(
            "import urllib.request\n"
            "context = spark.sparkContext\n"
            "root = f'{context.uiWebUrl}/api/v1/applications/{context.applicationId}'\n"
            "def page(path):\n"
            "    return urllib.request.urlopen(root + path).read().decode()\n"
            "result = [page(p) for p in\n"
            "          ('/environment', '/sql?details=true', '/jobs', '/allexecutors')]"
        )
    )

    text = json.dumps(shown) + spark.spark.log
    own = spark.catalog.server.key.credential.partition(":")[2]
    assert "spark.sql.catalog.lake.credential" in text  # the pages were there
    assert len(meter.seen.secrets) > 0
    assert [secret[:4] for secret in {own, *meter.seen.secrets} if secret in text] == []
