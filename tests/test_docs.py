"""The pages say what is: settings, operations, commands, layers, links; and their code runs."""

import json
import re
import shlex
import tomllib

import pyarrow as pa
import pytest
import typer

from graticule.api.routes import ICEBERG_ROOT, route_table
from graticule.cli.main import app
from graticule.domain.audit import EventType
from graticule.settings import Settings
from support import openapi
from support.parquet_files import geo, point
from support.settings_page import settings_table
from support.snippets import PAGES, ROOT, SHELLS, inline_code, run, snippets, snippets_of

README_LINES_MAX = 120
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
OPERATION_ROW = re.compile(r"^\| `(\w+)` \| `([A-Z]+ /[^`]*)` \|", re.MULTILINE)
VARIABLE = re.compile(r"\bGRATICULE_[A-Z][A-Z0-9_]*[A-Z0-9]")

CLIENT_VARIABLES = {"GRATICULE_URL", "GRATICULE_CREDENTIAL", "GRATICULE_TOKEN"}
TEST_VARIABLES = {"GRATICULE_REQUIRE_ALL", "GRATICULE_TEST_PROFILE"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES_MAX


def test_the_settings_page_has_the_table_that_the_settings_make():
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert rows == settings_table().splitlines()


@pages
def test_variables_that_a_page_names_exist(page):
    settings = {f"GRATICULE_{name.upper()}" for name in Settings.model_fields}
    named = set(VARIABLE.findall(page.read_text()))
    assert named <= settings | CLIENT_VARIABLES | TEST_VARIABLES


def test_the_iceberg_page_has_a_row_for_every_operation_and_no_other():
    rows = OPERATION_ROW.findall((ROOT / "docs" / "iceberg-rest.md").read_text())
    assert rows == [(o.name, f"{o.method} {o.template}") for o in openapi.CATALOG.operations]
    served = {
        f"{route.method} {route.template.removeprefix(ICEBERG_ROOT)}"
        for route in route_table().routes
        if route.template.startswith(ICEBERG_ROOT)
    }
    assert {request for _, request in rows} <= served


def test_the_layers_of_the_architecture_page_are_those_that_are_enforced():
    page = (ROOT / "docs" / "architecture.md").read_text()
    told = [_layers(code.split("→")) for code in inline_code(page) if "→" in code]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    enforced = [_layers(c["layers"]) for c in contracts["contracts"] if c["type"] == "layers"]
    assert told == enforced


def _layers(layers):
    return [
        {part.strip().removeprefix("graticule.") for part in layer.split("|")} for layer in layers
    ]


def test_the_tree_of_the_architecture_page_has_every_package():
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = {path.parent.name for path in (ROOT / "src/graticule").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^  (\w+)/ ", page, re.MULTILINE))
    rooms = {path.parent.name for path in (ROOT / "src/graticule/services").glob("*/__init__.py")}
    told = "".join(re.findall(r"^    \w+/ .*", page, re.MULTILINE))
    assert rooms <= set(re.findall(r"\b(\w+)/", told))


@pages
def test_links_lead_to_files(page):
    missing = [
        target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()
    ]
    assert missing == []


@pages
def test_paths_that_a_page_names_exist(page):
    named = [
        code
        for code in inline_code(page.read_text())
        if re.fullmatch(r"(src|tests|docs|openapi|benchmarks)/[\w./-]+", code)
    ]
    assert [path for path in named if not (ROOT / path).exists()] == []


@pages
def test_commands_that_a_page_mentions_exist(page):
    for command in _mentioned(page, "graticule"):
        _check_command(command)


@pages
def test_targets_of_make_that_a_page_mentions_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for _, *words in _mentioned(page, "make"):
        wanted = [word for word in words if "=" not in word]
        assert set(wanted) <= targets


def _mentioned(page, program):
    """Each call of the program, as words: in shell blocks, and in backquotes."""
    text = page.read_text()
    lines = [
        line
        for block in snippets(text, page)
        if block.language in SHELLS
        for line in block.code.replace("\\\n", " ").splitlines()
    ]
    for line in [*lines, *inline_code(text)]:
        words = shlex.split(line, comments=True) if program in line else []
        if words[:1] == [program]:
            yield words


def _check_command(words):
    command, path = typer.main.get_command(app), ""
    for word in words[1:]:
        if hasattr(command, "commands") and not word.startswith("-"):
            path += f" {word}"
            assert word in command.commands, f"there is no `graticule{path}`"
            command = command.commands[word]
        elif word.startswith("-"):
            known = {option for parameter in command.params for option in parameter.opts}
            known |= {o for parameter in command.params for o in parameter.secondary_opts}
            known |= {"-h", "--help"}
            assert word.partition("=")[0] in known, f"`graticule{path}` has no option {word}"


@pytest.fixture
def places(server):
    """What the pages' code finds: the catalog `places` with the table `world.cities_hilbert`."""
    with server.http() as http:
        made = http.post(
            "/api/v1/catalogs", json={"name": "places", "integration": server.integration}
        )
        assert made.status_code in {200, 201, 409}, made.text
        catalog_id = http.get("/api/v1/catalogs/places").json()["id"]
    catalog = type(server.new_catalog())(server, "places", catalog_id).pyiceberg()
    catalog.create_namespace_if_not_exists("world")
    numbers = {"file_xmin": 2.2, "file_xmax": 2.5, "file_ymin": 48.8, "file_ymax": 48.9}
    rows = pa.table(
        {
            "name": ["Paris"],
            "geometry": pa.array([point(2.35, 48.86)], pa.binary()),
            **{name: [value] for name, value in numbers.items()},
        }
    )
    if not catalog.table_exists("world.cities_hilbert"):
        properties = {"geo": json.dumps(geo())}
        catalog.create_table("world.cities_hilbert", rows.schema, properties=properties).append(
            rows
        )
    return server


@pytest.mark.s3
@pages
def test_code_that_says_run_runs(page, request, tmp_path):
    blocks = snippets_of(page)
    if not any("run" in block.words for block in blocks):
        return
    live = request.getfixturevalue("places")
    placeholders = {
        "http://127.0.0.1:8181": live.url,
        "<client id>": live.key.client_id,
        "<client secret>": live.key.client_secret.reveal(),
    }
    variables = {"GRATICULE_URL": live.url, "GRATICULE_CREDENTIAL": live.key.credential}
    run(blocks, placeholders=placeholders, variables=variables, folder=tmp_path)


def test_blocks_run_in_order_and_only_those_that_say_so(tmp_path):
    text = """
```python run
x = "<client id>"
```
```python
raise ValueError
```
```sh run
echo "$GRATICULE_URL" > url
```
```python run
assert x == "me"
```
"""
    blocks = [*snippets(text, ROOT / "README.md")]
    run(
        blocks,
        placeholders={"<client id>": "me"},
        variables={"GRATICULE_URL": "u"},
        folder=tmp_path,
    )
    assert (tmp_path / "url").read_text() == "u\n"


@pytest.mark.parametrize("text", ["```python run\nassert False\n```", "```sh run\nfalse\n```"])
def test_a_block_that_fails_fails_the_test(tmp_path, text):
    blocks = [*snippets(text, ROOT / "README.md")]
    with pytest.raises(AssertionError):
        run(blocks, placeholders={}, variables={}, folder=tmp_path)


def test_the_audit_page_names_every_type_of_event_and_no_other():
    page = (ROOT / "docs" / "audit.md").read_text().partition("## Types of events")[2]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    named = [code for row in rows for code in inline_code(row)]
    assert named == [type_.value for type_ in EventType]


def test_every_type_of_event_is_told_of_somewhere():
    source = "".join(path.read_text() for path in (ROOT / "src/graticule/services").rglob("*.py"))
    assert [t.name for t in EventType if f"EventType.{t.name}" not in source] == []
