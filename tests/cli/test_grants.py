"""`graticule role`, `grant` and `explain` against a live server."""

import json
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from graticule.cli.failures import CommandFailure, ExitCode
from graticule.cli.main import app
from support.people import new_person, person_of


@pytest.fixture(autouse=True)
def _logs(logs_restored):
    """Commands on the database set up logging."""


@pytest.fixture
def run(server, monkeypatch):
    """Runs a command as the first admin; gives its JSON, or what it printed."""
    monkeypatch.setenv("GRATICULE_URL", server.url)
    monkeypatch.setenv("GRATICULE_CREDENTIAL", server.key.credential)
    monkeypatch.delenv("GRATICULE_TOKEN", raising=False)

    def invoke(*arguments, expected=0):
        result = CliRunner().invoke(app, list(arguments))
        if isinstance(result.exception, CommandFailure):
            assert result.exception.exit_code == expected, result.exception.message
            return result.exception
        assert result.exit_code == expected, result.output
        return json.loads(result.stdout) if result.stdout.startswith(("{", "[")) else result.output

    return invoke


@pytest.fixture
def ben(server):
    return new_person(server.services, person_of(server.services, server.key.credential))


def test_a_role_is_made_given_granted_to_explained_and_deleted(server, run, ben):
    catalog = server.new_catalog(default_access="none").name
    role = f"role {uuid4().hex[:8]}"
    run("role", "create", role)
    run("role", "add", role, ben.name)
    assert [member["id"] for member in run("role", "members", role)] == [ben.id]

    given = run("grant", "add", catalog, "read", "--role", role)
    assert (given["privilege"], given["grantee"]["name"]) == ("read", role)
    assert run("grant", "list", "--role", role) == [given]
    assert given in run("grant", "list", catalog)
    held = {each["member_id"]: each["privilege"] for each in run("grant", "access", catalog)}
    assert held[ben.id] == "read"
    told = run("explain", "write", catalog, "--member", ben.name)
    assert (told["allowed"], told["privilege"]) == (False, "read")

    run("role", "remove", role, ben.name)
    assert run("explain", "read", catalog, "--member", ben.name)["allowed"] is False
    renamed = run("role", "rename", role, f"{role} too")
    assert renamed in run("role", "list")
    run("grant", "revoke", given["id"])
    assert run("grant", "list", "--role", renamed["id"]) == []
    run("role", "delete", renamed["id"], "--yes")
    assert renamed["id"] not in {each["id"] for each in run("role", "list")}


def test_tables_of_grants_are_for_people(server, run, ben):
    catalog = server.new_catalog(default_access="read").name
    table = run("grant", "list", catalog, "-o", "table")
    for word in ("PRIVILEGE", "OBJECT", catalog.split()[1], "everyone", "read"):
        assert word in table
    told = run("explain", "write", catalog, "--member", ben.name, "-o", "table")
    assert f"{ben.name} may not write {catalog}." in told


def test_what_cannot_be_granted_ends_with_an_exit_code(server, run, ben):
    run("grant", "add", "never", "read", "--member", ben.name, expected=ExitCode.NOT_FOUND)
    catalog = server.new_catalog().name
    refused = run("grant", "add", catalog, "own", "--member", ben.name, expected=ExitCode.USAGE)
    assert "`privilege`" in refused.message
