"""`graticule connect`: texts that hold whatever a catalog is called, and that can be tried."""

import ast
import json
import shlex
import sys

import pytest
from typer.testing import CliRunner

from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.main import app
from graticule.domain.errors import InvalidRequest
from graticule.services.engines.engine_text import (
    StorePlace,
    alias_of,
    engine_text,
    engines,
    releases,
)

AWKWARD = """o'Brien's "lake" \\ $HOME `x` é"""
URL = "https://catalog.example/"
STORE = StorePlace("s3://lake/c1", "eu-west-1", "https://store.example", path_style=True)


def text_of(engine, **options):
    return engine_text(engine, **{"url": URL, "catalog": AWKWARD, "store": STORE, **options})


def variants():
    return [(engine, release) for engine in engines() for release in releases(engine) or [None]]


@pytest.mark.parametrize(("engine", "release"), variants())
def test_a_text_reads_the_credential_from_the_environment_and_has_every_place_filled(
    engine, release
):
    text = text_of(engine, release=release)
    whole = text.text + (text.check or "") + (text.file or "") + (text.install or "")
    assert "«" not in whole
    assert "GRATICULE_CREDENTIAL" in text.text
    assert text.alias == "o_Brien_s__lake_____HOME__x___"


@pytest.mark.parametrize(("engine", "release"), variants())
def test_a_text_can_have_the_credential_in_it(engine, release):
    text = text_of(engine, release=release, credential="gk_me:gs_secret").text
    assert "gs_secret" in text
    assert "GRATICULE_CREDENTIAL" not in text


@pytest.mark.parametrize("engine", engines())
def test_python_is_python_and_names_the_catalog_as_it_is_called(engine):
    text = text_of(engine)
    if text.language != "python":
        return
    constants = {n.value for n in ast.walk(ast.parse(text.text)) if isinstance(n, ast.Constant)}
    in_sql = "'" + AWKWARD.replace("'", "''") + "'"
    assert any(c == AWKWARD or in_sql in str(c) for c in constants), text.text


def test_shell_hands_over_the_catalogs_name_as_it_is_called():
    words = shlex.split(text_of("spark-submit").text.replace("\\\n", ""))
    assert f"spark.sql.catalog.{alias_of(AWKWARD)}.warehouse={AWKWARD}" in words


def test_on_aws_no_endpoint_is_named_and_elsewhere_it_is():
    on_aws = text_of("trino", store=StorePlace("s3://lake/c1", "eu-west-1")).text
    assert "s3.endpoint=https://store.example\ns3.path-style-access=true\n" in text_of("trino").text
    assert [line for line in on_aws.splitlines() if line.startswith("s3.")] == [
        "s3.region=eu-west-1"
    ]


@pytest.mark.parametrize(
    ("name", "alias"), [("places", "places"), ("my lake", "my_lake"), ("2026", "c_2026")]
)
def test_an_alias_needs_no_quotes(name, alias):
    assert alias_of(name) == alias


def test_what_cannot_be_said_is_refused_with_what_can():
    with pytest.raises(InvalidRequest, match=r"no text for `quel`; there are .*duckdb"):
        text_of("quel")
    with pytest.raises(InvalidRequest, match=r"no text for release `1.0`.*3.5"):
        text_of("pyspark", release="1.0")
    with pytest.raises(InvalidRequest, match="one text serves all"):
        text_of("duckdb", release="1.0")
    with pytest.raises(InvalidRequest, match="without quotes"):
        text_of("duckdb", alias="my lake")


@pytest.fixture
def run(server, monkeypatch):
    monkeypatch.setenv("GRATICULE_URL", server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", server.key.credential)
    monkeypatch.delenv("GRATICULE_TOKEN", raising=False)

    def invoke(*arguments, expected=0):
        result = CliRunner().invoke(app, ["connect", *arguments])
        if isinstance(result.exception, CommandFailure):
            assert result.exception.exit_code == expected, result.exception.message
            return result.exception
        assert result.exit_code == expected, result.output
        return result

    return invoke


def test_the_text_alone_is_on_stdout_and_remarks_are_not(run, catalog):
    told = run("duckdb", catalog.name, "--as", "lake")
    assert (
        told.stdout
        == text_of("duckdb", url=catalog.server.url, catalog=catalog.name, alias="lake").text
    )
    assert "Needs: pip install" in told.stderr


def test_a_catalog_may_be_named_by_its_id_and_the_answer_be_json(run, catalog):
    told = json.loads(run("pyiceberg", catalog.id, "-o", "json").stdout)
    assert told["alias"] == alias_of(catalog.name)
    assert json.dumps(catalog.name) in told["text"]


def test_the_secret_is_written_only_when_asked_for(run, catalog, server):
    secret = server.key.client_secret.reveal()
    assert secret not in run("pyiceberg", catalog.name).output
    assert secret in run("pyiceberg", catalog.name, "--with-secret").stdout


def test_wrong_words_are_answered_with_right_ones(run, catalog, monkeypatch):
    assert "duckdb" in run("quel", catalog.name, expected=ExitCode.USAGE).remedy
    assert "catalog list" in run("duckdb", expected=ExitCode.USAGE).remedy
    run("duckdb", "no such catalog", expected=ExitCode.NOT_FOUND)


def test_a_token_alone_connects_no_engine(run, catalog, server, monkeypatch):
    monkeypatch.setenv("GRATICULE_TOKEN", server.key.credential.replace(":", ".", 1))
    monkeypatch.delenv("GRATICULE_CREDENTIAL")
    run("pyiceberg", catalog.name)
    refused = run("pyiceberg", catalog.name, "--check", expected=ExitCode.NOT_ALLOWED)
    assert "API key" in refused.message


def test_a_check_lists_the_namespaces_by_the_very_text(run, catalog):
    catalog.pyiceberg().create_namespace("world")
    told = run("pyiceberg", catalog.name, "--check", "--python", sys.executable)
    assert told.stdout == "world\n"


def test_a_check_says_what_is_missing_and_how_to_get_it(run, catalog, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = run("duckdb", catalog.name, "--check", expected=ExitCode.NOT_FOUND)
    assert "no `duckdb` on the PATH" in missing.message
    assert "pip install" in missing.remedy


def test_a_check_that_fails_shows_no_secret(run, catalog, server, monkeypatch):
    wrong = f"{server.key.client_id}:gs_{'x' * 32}"
    text = text_of("pyiceberg", url=server.url, catalog=catalog.name)
    from graticule.cli.connect_check import try_text  # noqa: PLC0415

    with pytest.raises(CommandFailure, match="did not get through") as refused:
        try_text(text, credential=wrong, python=None)
    assert wrong.partition(":")[2] not in refused.value.message


def test_the_api_has_the_same_texts_for_the_console(catalog, http, run):
    texts = http.get(f"/api/v1/catalogs/{catalog.id}/engines").json()["texts"]
    assert [(text["engine"], text["release"]) for text in texts] == variants()
    [duckdb] = [text["text"] for text in texts if text["engine"] == "duckdb"]
    assert duckdb == run("duckdb", catalog.name).stdout
