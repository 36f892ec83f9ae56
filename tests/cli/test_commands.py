"""The command line against a live server: what is printed, and with which exit code it ends."""

import json
from uuid import uuid4

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from graticule.cli import output
from graticule.cli.failures import CommandFailure, ExitCode, exit_code_of
from graticule.cli.main import app, main
from graticule.cli.scan import counters_of, progress_of, until_ended
from graticule.cli.table import split_identifier
from graticule.cli.verification import told
from graticule.domain.errors import AlreadyExists
from support.lake import cities
from support.oidc import providing


@pytest.fixture(autouse=True)
def _logs(logs_restored):
    """Commands on the database set up logging."""


@pytest.fixture
def run(server, monkeypatch):
    """Runs a command as the first admin; gives its JSON."""
    monkeypatch.setenv("GRATICULE_URL", server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", server.key.credential)
    monkeypatch.delenv("GRATICULE_TOKEN", raising=False)

    def invoke(*arguments, expected=0, stdin=None):
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if isinstance(result.exception, CommandFailure):
            assert result.exception.exit_code == expected, result.exception.message
            return result.exception
        assert result.exit_code == expected, result.output
        return json.loads(result.stdout) if result.stdout.startswith(("{", "[")) else result.output

    return invoke


def test_a_bucket_is_connected_verified_used_and_let_go(server, run):
    unique = uuid4().hex[:8]
    keys = server.store.admin_keys
    created = run(
        *("integration", "create", f"i {unique}", "--path", "s3://elsewhere"),
        *("--access-key-id", keys.access_key_id, "--endpoint", server.store.endpoint),
        stdin=f"{keys.secret_access_key.reveal()}\n",
    )
    assert created["bucket_type"] == "unknown"
    assert keys.secret_access_key.reveal() not in json.dumps(created)

    catalog = run("catalog", "create", f"c {unique}", "--storage", f"i {unique}")
    assert catalog["location"] == f"s3://elsewhere/{catalog['id']}"
    assert run("catalog", "show", f"c {unique}")["id"] == catalog["id"]
    assert catalog["id"] in {item["id"] for item in run("catalog", "list")}

    refused = run("integration", "delete", f"i {unique}", "--yes", expected=ExitCode.CONFLICT)
    assert f"`c {unique}`" in refused.message
    run("catalog", "delete", catalog["id"], "--yes")
    run("integration", "delete", f"i {unique}", "--yes")
    gone = run("integration", "show", f"i {unique}", expected=ExitCode.NOT_FOUND)
    assert gone.message == f"no storage integration is called `i {unique}`"


def test_verify_prints_the_report_and_policy_the_documents(server, run):
    report = run("integration", "verify", server.integration)["verification"]
    policies = run("integration", "policy", "--path", "s3://lake/x", "--mode", "read")

    assert report["passed"] is True
    assert policies["role_policy"]["Version"] == "2012-10-17"
    assert (
        run("integration", "policy", server.integration)["external_id"] == policies["external_id"]
    )
    run("integration", "policy", expected=ExitCode.USAGE)


def test_policies_are_printed_as_a_script_that_can_be_piped(server, run):
    commands = run("integration", "policy", "--path", "s3://lake/x", "--format", "cli")
    resources = run("integration", "policy", server.integration, "--format", "terraform")

    assert commands.startswith("(\n  set -eu\n")
    assert resources.startswith('resource "aws_iam_role"')


def test_tables_are_for_people(server, run):
    printed = run("integration", "list", "-o", "table")

    assert {"NAME", "PATH", "BUCKET"} <= set(printed.split())
    assert "PASS" not in printed


def test_a_table_that_is_too_wide_is_told_line_by_line_and_never_cut(monkeypatch, capsys):
    id_ = str(uuid4())
    items = [
        {"id": id_, "said_by": "one of many words, all of which are told", "at": "s3://lake/[a]"},
        {"id": id_, "said_by": "b", "at": None},
    ]

    def lines(width):
        monkeypatch.setenv("COLUMNS", str(width))
        output.print_list(items, ("id", "said_by", "at"), output.Format.TABLE)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    assert lines(80) == [
        f"{'ID':36}  {'SAID BY':27}  AT",
        f"{id_}  {'one of many words, all of':27}  s3://lake/[a]",
        f"{'':36}  which are told",
        f"{id_}  {'b':27}  –",
    ]
    assert lines(50) == [
        f"ID       {id_}",
        "SAID BY  one of many words, all of which are told",
        "AT       s3://lake/[a]",
        "",
        f"ID       {id_}",
        "SAID BY  b",
        "AT       –",
    ]


def test_a_key_is_made_used_and_revoked(server, run, monkeypatch):
    key = run("token", "create", "for a test", "--scope", "read", "--days", "1")
    assert key["scopes"] == ["read"]

    monkeypatch.setenv("GRATICULE_CREDENTIAL", key["credential"])
    assert run("whoami")["key_id"] == key["client_id"]
    run("token", "list", expected=ExitCode.NOT_ALLOWED)

    monkeypatch.setenv("GRATICULE_CREDENTIAL", server.key.credential)
    run("token", "revoke", key["client_id"], "--yes")
    monkeypatch.setenv("GRATICULE_CREDENTIAL", key["credential"])
    run("whoami", expected=ExitCode.NOT_ALLOWED)


def test_members_are_seen_to_from_the_command_line(run):
    name = f"m {uuid4().hex[:8]}"
    made = run("service-account", "create", name)
    assert (made["kind"], made["role"]) == ("service_account", "user")
    run("token", "create", "its key", "--member", name, "--scope", "read")
    assert len(run("token", "list", "--member", name)) == 1
    assert name in {member["name"] for member in run("service-account", "list")}
    assert name not in {member["name"] for member in run("user", "list")}
    assert run("service-account", "set-role", name, "admin")["role"] == "admin"
    assert run("service-account", "disable", name)["disabled_at"] is not None
    assert run("service-account", "enable", name)["disabled_at"] is None
    renamed = run("service-account", "rename", name, f"{name} again")
    assert run("service-account", "show", made["id"]) == renamed
    run("service-account", "delete", made["id"], "--yes")
    run("service-account", "show", made["id"], expected=ExitCode.NOT_FOUND)


def test_a_user_gets_a_link_to_choose_a_password_with(server, run):
    name = f"u {uuid4().hex[:8]}"
    made = run("user", "create", name, "--role", "admin")
    assert (made["kind"], made["role"]) == ("user", "admin")
    assert made["password_link"].startswith(f"{server.url}/auth/link/glink_")
    again = run("user", "reset-password", name)
    assert again["url"] != made["password_link"]
    run("user", "delete", name, "--yes")


def test_organisations_are_the_operators(tmp_path, monkeypatch, run):
    monkeypatch.setenv("GRATICULE_DATA_DIR", str(tmp_path / "data"))
    run("database", "upgrade")

    made = run("organisation", "create", "maps", "--edition", "community", "--admin", "Zoe")

    assert (made["edition"], made["admin"]) == ("community", "Zoe")
    assert made["credential"].startswith("gk_")
    changed = run("organisation", "set-edition", "maps", "professional")
    assert run("organisation", "list") == [changed]
    assert changed == {"name": "maps", "edition": "professional", "id": made["id"]}
    taken = CliRunner().invoke(app, ["organisation", "create", "maps"])
    assert isinstance(taken.exception, AlreadyExists)
    assert exit_code_of(taken.exception) is ExitCode.CONFLICT
    link = run("database", "new-admin-key", "--organisation", "maps", "--admin", "Zoe", "--link")
    assert "http://127.0.0.1:8181/auth/link/glink_" in link
    key = run("database", "new-admin-key", "--organisation", "maps", "--admin", "Zoe")
    assert key.strip().splitlines()[-1].startswith("gk_")


def test_issuers_are_the_operators(tmp_path, monkeypatch, run):
    monkeypatch.setenv("GRATICULE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GRATICULE_ALLOW_PRIVATE_ENDPOINTS", "true")
    run("database", "upgrade")
    run("organisation", "create", "default")
    with providing() as provider:
        made = run(
            *("issuer", "create", "idp", "--url", provider.url, "--client-id", "g"),
            *("--client-secret-stdin", "--role-claim", "roles", "--admin-value", "gis"),
            stdin="hunter2 hunter2\n",
        )
        assert (made["audiences"], made["admin_values"]) == (["g"], ["gis"])
        assert "hunter2" not in json.dumps(made)
        assert run("issuer", "list") == [made]
        assert run("issuer", "check", "idp")["keys"] == 1
        provider.answers["/keys"] = 500
        assert "answered 500" in run("issuer", "check", "idp", expected=3).message
    run("issuer", "delete", "idp", "--yes")
    assert run("issuer", "list") == []


def test_a_user_is_linked_with_somebody_at_an_issuer(server, run):
    name = f"u {uuid4().hex[:8]}"
    server.services.issuers.create(
        name=name, url=f"https://{uuid4().hex}.example", audiences=["x"], organisation="default"
    )
    run("user", "create", name)
    assert run("user", "link", name, "--issuer", name, "--subject", "s") == {
        "issuer": name,
        "subject": "s",
    }
    run("user", "unlink", name, "--issuer", name)
    run("user", "unlink", name, "--issuer", name, expected=ExitCode.NOT_FOUND)


def test_a_scan_is_followed_to_its_proposals_and_nothing_is_registered(server, catalog, run):
    scan = run("scan", "start", catalog.id, "--prefix", "s3://lake/nothing-lies-here")

    assert scan["state"] == "proposed"
    assert run("scan", "show", catalog.id, scan["id"]) == scan
    assert [item["id"] for item in run("scan", "list", catalog.name)] == [scan["id"]]
    printed = run("scan", "show", catalog.id, scan["id"], "-o", "table")
    assert "proposed" in printed
    assert f"no object below {scan['prefix']}, which has to be a folder" in printed
    assert "phase" not in printed  # progress in words
    listed = run("scan", "list", catalog.name, "-o", "table")
    assert scan["id"] in listed  # uncut, however narrow the terminal is
    named = run("sync", "start", catalog.id, "--table", "roads", expected=ExitCode.USAGE)
    assert named.message == "`roads` does not name a table; write `namespace.table`"
    assert run("scan", "register", catalog.id, scan["id"], "--namespace", "x") == {"tables": []}


def test_files_of_a_table_that_is_not_there_are_not_found(catalog, run):
    run("table", "files", f"{catalog.id}.osm.roads", "--bbox", "0,0,1,1", expected=4)


def test_tables_are_listed_and_shown(raw, run):
    raw.put("cities/part-0.parquet", cities((1, 100.0, 1.0), (2, 3.0, 4.0)))
    raw.register(raw.scan())
    catalog = raw.catalog.id
    client = raw.catalog.pyiceberg()
    client.create_namespace(("found", "in.side"))
    client.create_table(("found", "in.side", "empty"), pa.schema([("id", pa.int64())]))
    inside = {"namespace": "found.in\\.side", "name": "empty"}
    everything = [{"namespace": "found", "name": "cities"}, inside]
    assert run("table", "list", catalog) == everything
    assert run("table", "list", catalog, "--namespace", "found.in\\.side") == [inside]
    assert "cities" in run("table", "list", catalog, "-o", "table")
    absent = run("table", "list", catalog, "--namespace", "absent", expected=4)
    assert "absent" in absent.message

    loaded = client.load_table("found.cities")
    shown = run("table", "show", f"{catalog}.found.cities")
    assert [(column["name"], column["type"]) for column in shown["columns"]] == [
        (field.name, str(field.field_type)) for field in loaded.schema().fields
    ]
    assert {name: shown[name] for name in ("location", "snapshot_id", "files", "rows")} == {
        "location": loaded.location(),
        "snapshot_id": loaded.current_snapshot().snapshot_id,
        "files": 1,
        "rows": 2,
    }
    assert (shown["places"], shown["properties"]) == (["geometry"], dict(loaded.properties))
    printed = run("table", "show", f"{catalog}.found.cities", "-o", "table")
    assert all(word in printed for word in ("Columns:", "schema.name-mapping.default", "places"))
    empty = run("table", "show", f"{catalog}.found.in\\.side.empty")
    assert (empty["snapshot_id"], empty["rows"], empty["files"], empty["places"]) == (
        None,
        0,
        0,
        [],
    )
    absent = run("table", "show", f"{catalog}.found.absent", expected=4)
    assert "found.absent" in absent.message


def test_files_and_layout_of_a_table_are_shown(raw, run):
    for name, x in {"east": 100.0, "west": -100.0}.items():
        raw.put(f"cities/{name}.parquet", cities((1, x, 1.0)))
    raw.register(raw.scan())
    table = f"{raw.catalog.id}.found.cities"
    found = run("table", "files", table, "--geometry", "POINT (100 1)", "--row-groups")
    [file] = found["files"]
    assert (file["row_group_count"], found["compared_by"]) == (1, "geometry")
    assert "east.parquet" in run("table", "files", table, "--bbox", "99,0,101,2", "-o", "table")
    layout = run("table", "layout", table)
    assert (layout["totals"]["files"], len(layout["windows"])) == (2, 3)
    printed = run("table", "layout", table, "-o", "table")
    assert "country" in printed
    run("table", "layout", f"{raw.catalog.id}.found.absent", expected=4)
    status = run("table", "index", table)
    assert (status["state"], [one["files"] for one in status["indexes"]]) == ("ready", [2])
    assert "is there" in run("table", "index", table, "-o", "table")
    run("table", "index", f"{raw.catalog.id}.found.absent", expected=4)


def test_deleting_without_a_terminal_needs_yes(run):
    refused = run("catalog", "delete", "x", expected=ExitCode.USAGE)

    assert refused.remedy == "Add `--yes`."


def test_a_failure_is_one_line_with_its_remedy_and_no_traceback(monkeypatch, capsys):
    monkeypatch.setenv("GRATICULE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GRATICULE_CREDENTIAL", "a:b")
    monkeypatch.setattr("sys.argv", ["graticule", "catalog", "list"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == ExitCode.UNREACHABLE
    first, second = capsys.readouterr().err.strip().splitlines()
    assert first.startswith("Error: could not reach http://127.0.0.1:1")
    assert second == "Start the server with `graticule serve`, or set GRATICULE_URL."


def test_without_a_credential_the_command_says_which_variable_to_set(
    server, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GRATICULE_URL", server.url)
    monkeypatch.delenv("GRATICULE_CREDENTIAL", raising=False)
    monkeypatch.delenv("GRATICULE_TOKEN", raising=False)
    monkeypatch.setattr("sys.argv", ["graticule", "whoami"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == ExitCode.NOT_ALLOWED
    assert "Run `graticule login`, or set GRATICULE_CREDENTIAL" in capsys.readouterr().err


def test_the_database_is_upgraded_and_an_admin_let_back_in(tmp_path, monkeypatch):
    monkeypatch.setenv("GRATICULE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("GRATICULE_DATABASE_URL", raising=False)
    before = CliRunner().invoke(app, ["database", "status"])
    assert json.loads(before.stdout)["current"] is None
    assert before.exception.exit_code == ExitCode.CHECK_FAILED

    assert CliRunner().invoke(app, ["database", "upgrade"]).exit_code == 0

    after = CliRunner().invoke(app, ["database", "status"])
    assert json.loads(after.stdout)["is_current"] is True
    assert after.exit_code == 0
    nobody = CliRunner().invoke(app, ["database", "new-admin-key"])
    assert "no organisation is called `default`" in str(nobody.exception)


def test_a_wrong_setting_is_named_and_its_value_is_not_shown(monkeypatch):
    monkeypatch.setenv("GRATICULE_SECRET_KEYS", "very-secret-and-wrong")

    result = CliRunner().invoke(app, ["database", "status"])

    assert result.exception.exit_code == ExitCode.USAGE
    assert result.exception.message == (
        "GRATICULE_SECRET_KEYS: write a key ring as `name:base64`, several joined by commas"
    )


def test_settings_that_contradict_each_other_are_told_in_our_words(monkeypatch):
    monkeypatch.setenv("GRATICULE_STS_ACCESS_KEY_ID", "x")

    result = CliRunner().invoke(app, ["database", "status"])

    assert result.exception.message == (
        "set both sts_access_key_id and sts_secret_access_key, or neither"
    )


@pytest.mark.parametrize("command", [[], ["serve"], ["scan", "start"], ["table", "files"]])
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [*command, "--help"])

    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("maps.osm.roads", ("maps", "osm", "roads")),
        ("maps.osm.v1.roads", ("maps", "osm\x1fv1", "roads")),
        (r"maps.a\.b.roads", ("maps", "a.b", "roads")),
    ],
)
def test_a_table_is_named_by_catalog_namespace_and_table(text, expected):
    assert split_identifier(text) == expected


@pytest.mark.parametrize("text", ["", "roads", "osm.roads", "a..b"])
def test_what_does_not_name_a_table_is_a_usage_error(text):
    with pytest.raises(CommandFailure) as refused:
        split_identifier(text)
    assert refused.value.exit_code == ExitCode.USAGE


def test_following_a_scan_ends_with_its_last_state():
    states = iter([{"state": "running"}, {"state": "proposed"}])
    pauses = []

    seen = list(until_ended({"state": "running"}, lambda: next(states), sleep=pauses.append))

    assert [scan["state"] for scan in seen] == ["running", "running", "proposed"]
    assert len(pauses) == 2


def test_progress_is_a_bar_once_the_total_is_known():
    listing = {"progress": {"phase": "listing", "objects": 1200}}
    inspecting = {"progress": {"phase": "inspecting", "objects": 1200, "files": 12, "inspected": 3}}

    assert progress_of(listing) == (0, None)
    assert counters_of(listing) == "1,200 objects"
    assert progress_of(inspecting) == (3, 12)


def test_what_a_verification_finds_is_told_as_it_is_found():
    def seen(state, *statuses, waiting=None):
        checks = [{"status": status, "title": f"check {n}"} for n, status in enumerate(statuses)]
        return {"state": state, "checks": checks, "waiting": waiting}

    later = iter(
        [
            seen("running", "pass", "fail"),
            seen("running", "pass", "fail", waiting="for IAM"),
            seen("running", "pass", "fail", waiting="for IAM"),
            seen("failed", "pass", "fail", "skip"),
        ]
    )
    pauses = []

    lines = list(told(seen("running", "pass"), lambda: next(later), sleep=pauses.append))

    assert lines == ["passed   check 0", "FAILED   check 1", "waiting  for IAM"]
    assert len(pauses) == 4
    assert list(told(seen("passed", "pass"), lambda: None, sleep=pauses.append)) == []


def test_an_integration_that_would_not_work_is_not_connected(server, run):
    name = f"i {uuid4().hex[:8]}"
    draft = ("integration", "create", name, "--path", "s3://elsewhere", "--verify")
    at = ("--endpoint", server.store.endpoint, "--role-arn")

    refused = run(*draft, *at, server.store.role_arn + "x", expected=ExitCode.CHECK_FAILED)
    assert "was not connected" in refused.message
    run("integration", "show", name, expected=ExitCode.NOT_FOUND)

    made = run(*draft, *at, server.store.role_arn)
    assert made["verification_status"] == "unverified"
    run("integration", "delete", name, "--yes")


def test_the_history_of_verifications_is_listed(server, run):
    run("integration", "verify", server.integration)

    newest = run("integration", "verifications", server.integration)[0]
    assert (newest["state"], newest["trigger"]) == ("passed", "manual")


def test_a_function_is_set_shown_and_dropped(server, run, tmp_path):
    catalog = server.new_catalog()
    with server.http() as http:
        http.post(f"{catalog.base}/namespaces", json={"namespace": ["dotted.name"]})
    name = f"{catalog.id}.dotted\\.name.one"

    def wanted(sql):
        definition = {"parameters": [], "return-type": "int"}
        definition["representations"] = [{"dialect": "trino", "sql": sql}]
        return json.dumps({"definitions": [definition], "doc": "One"})

    file = tmp_path / "one.json"
    file.write_text(wanted("1"))
    assert run("function", "set", name, "--file", str(file))["version"] == 1
    assert run("function", "set", name, "--file", "-", stdin=wanted("2"))["version"] == 2
    stale = run(
        *("function", "set", name, "--file", str(file), "--version", "1"),
        expected=ExitCode.CONFLICT,
    )
    assert "is not at version 1 any more" in stale.message
    [listed] = run("function", "list", f"{catalog.id}.dotted\\.name")
    assert (listed["name"], listed["version"], listed["doc"]) == ("one", 2, "One")
    shown = run("function", "show", name)
    assert shown["metadata"]["definitions"][0]["current-version-id"] == 2
    run("function", "drop", name, "--yes", "--version", "1", expected=ExitCode.CONFLICT)
    run("function", "drop", name, "--yes")
    gone = run("function", "show", name, expected=ExitCode.NOT_FOUND)
    assert gone.message == "Function does not exist: dotted.name.one"
    file.write_text("[]")
    run("function", "set", name, "--file", str(file), expected=ExitCode.USAGE)
    run("function", "list", "alone", expected=ExitCode.USAGE)


def test_a_key_is_made_and_everything_sealed_under_it(run, monkeypatch, tmp_path):
    for name in ("GRATICULE_SECRET_KEYS", "GRATICULE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRATICULE_DATA_DIR", str(tmp_path))
    entry = run("database", "new-secret-key", "k2").strip()
    assert entry.startswith("k2:")
    file = tmp_path / "keys"
    file.write_text(f"{entry}\n{run('database', 'new-secret-key', 'k1')}")
    monkeypatch.setenv("GRATICULE_SECRET_KEYS_FILE", str(file))

    run("database", "upgrade")
    done = run("database", "rotate-secrets", "-o", "json")

    assert done == {"key": "k2", "resealed": 0, "unopened": 0}
    run("database", "new-secret-key", "no periods.", expected=ExitCode.USAGE)
    run("database", "new-secret-key", "k3", "--kms-key", "alias/x", expected=ExitCode.USAGE)


@pytest.fixture
def garage(run, server, connect_folder):
    """An integration by access keys on a folder with two files."""
    keys = server.store.admin_keys
    folder = connect_folder(
        role_arn=...,
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key.reveal(),
    )
    folder.put("roads/a.parquet", b"a" * 100_000)
    folder.put("readme.md")
    return folder


def test_an_integration_is_changed_and_its_keys_rotated(run, server, garage):
    name = garage.integration["name"]
    changed = run("integration", "update", name, "--name", f"{name} 2", "--read-only")
    assert (changed["name"], changed["read_only"], changed["version"]) == (f"{name} 2", True, 2)
    name = changed["name"]
    changed = run("integration", "update", name, "--read-write", "--kms-key-arn", "none")
    assert (changed["read_only"], changed["kms_key_arn"]) == (False, None)

    late = run(
        *("integration", "update", name, "--read-only", "--version", "1"),
        expected=ExitCode.CONFLICT,
    )
    assert "is at version 3, not 1" in late.message
    run("integration", "update", name, expected=ExitCode.USAGE)

    keys = server.store.admin_keys
    rotation = ("integration", "rotate-keys", name, "--access-key-id", keys.access_key_id)
    wrong = run(*rotation, stdin="not it\n", expected=ExitCode.USAGE)
    assert "keeps the old ones" in wrong.message
    rotated = run(*rotation, "--force", stdin=f"{keys.secret_access_key.reveal()}\n")
    assert rotated["version"] == 4


def test_storage_is_browsed_and_files_are_downloaded(run, garage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = garage.integration["name"]

    listed = run("integration", "browse", name)
    assert [(item["kind"], item["path"]) for item in listed] == [
        ("folder", "roads/"),
        ("file", "readme.md"),
    ]
    assert len(run("integration", "browse", name, "--recursive")) == 2
    assert len(run("integration", "browse", name, "--recursive", "--limit", "1")) == 1
    assert run("integration", "browse", name, "nothing") == []

    run("integration", "download", name, "roads/a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == b"a" * 100_000
    run("integration", "download", name, "roads/a.parquet", expected=ExitCode.USAGE)
    run("integration", "download", name, "readme.md", "--to", "a.parquet", "--force")
    assert (tmp_path / "a.parquet").read_bytes() == b"x"
    assert run("integration", "download", name, "readme.md", "--to", "-") == "x"
    run("integration", "download", name, "missing", expected=ExitCode.NOT_FOUND)
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]

    assert run("integration", "link", name, "readme.md")["url"].startswith("http")
    run("integration", "browse", name, "../", expected=ExitCode.USAGE)


def test_the_audit_log_is_listed_and_exported(server, run):
    name = f"c {uuid4().hex[:8]}"
    catalog = run("catalog", "create", name, "--storage", server.integration)

    (event,) = run("audit", "list", "--subject", catalog["id"])
    table = run("audit", "list", "--subject", catalog["id"], "-o", "table")
    exported = run("audit", "export", "--subject", name)
    rows = run("audit", "export", "--subject", name, "--format", "csv")

    assert (event["type"], event["subject"]["name"]) == ("catalog.created", name)
    assert event == exported
    assert f"{event['at'][:10]} {event['at'][11:19]}" in table
    assert rows.splitlines()[1].split(",")[2] == "catalog.created"


def test_a_webhook_is_made_switched_and_deleted(run):
    name = f"w {uuid4().hex[:8]}"
    # Events that nobody causes here: those of other tests may still be on their way.
    made = run("webhook", "create", name, "http://127.0.0.1:9/hook", "--type", "sync.undone")
    assert made["secret"].startswith("whsec_")

    run("webhook", "disable", name)
    (shown,) = [hook for hook in run("webhook", "list") if hook["name"] == name]
    assert (shown["enabled"], "secret" in shown) == (False, False)
    assert run("webhook", "deliveries", name) == []
    run("webhook", "enable", name)
    refused = run("webhook", "redeliver", name, "nothing", expected=ExitCode.NOT_FOUND)
    assert refused.message == f"`{name}` has no delivery `nothing`"
    run("webhook", "delete", name, "--yes")
