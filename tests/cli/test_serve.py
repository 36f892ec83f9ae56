"""`graticule serve` as an operator runs it."""

import re
import signal
import subprocess
import sys

import httpx2

from support.process import GRATICULE, serve


def test_the_first_start_shows_the_admins_credential_and_no_later_one_does(tmp_path):
    with serve(tmp_path) as first:
        credential = first.credential
        token = credential.replace(":", ".", 1)
        me = httpx2.get(f"{first.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert (me.json()["name"], me.json()["role"]) == ("admin", "admin")
        assert httpx2.get(f"{first.url}/api/v1/me").status_code == 401
        [link] = re.findall(r"http\S+/auth/link/\S+", first.printed)
        assert "For <b>admin</b>" in httpx2.get(link).text
    with serve(tmp_path) as second:
        again = httpx2.get(f"{second.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert again.status_code == 200
        assert "GRATICULE_CREDENTIAL" not in second.printed
    assert credential.partition(":")[2] not in second.printed


def test_a_termination_ends_the_server_cleanly(tmp_path):
    with serve(tmp_path) as running:
        pass
    assert running.process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in running.printed


def test_several_processes_serve_one_port_and_end_together(tmp_path):
    with serve(tmp_path, GRATICULE_WORKERS="2", GRATICULE_LOG_LEVEL="warning") as running:
        headers = {"Authorization": f"Bearer {running.credential.replace(':', '.', 1)}"}
        for _ in range(20):  # new connections, so both processes get some
            assert httpx2.get(f"{running.url}/api/v1/me", headers=headers).status_code == 200
    assert running.process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in running.printed


def test_neither_the_command_line_nor_the_parent_of_the_workers_loads_what_only_a_server_needs():
    program = (
        "import sys, graticule.cli.main\n"
        "assert 'graticule.settings' not in sys.modules\n"
        "import graticule.settings, graticule.logs, graticule.workers.supervisor\n"
        "heavy = {'boto3', 'pyarrow', 'sqlalchemy', 'starlette', 'uvicorn', 'shapely'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_secrets_do_not_reach_the_log(tmp_path):
    with serve(tmp_path, GRATICULE_LOG_LEVEL="debug", GRATICULE_LOG_FORMAT="json") as running:
        credential = running.credential
        client_id, _, secret = credential.partition(":")
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
        }
        token = httpx2.post(f"{running.url}/catalog/v1/oauth/tokens", data=form).json()
        httpx2.get(
            f"{running.url}/api/v1/me?x={secret}",
            headers={"Authorization": f"Bearer {token['access_token']}"},
        )
    logged = running.printed.partition("GRATICULE_CREDENTIAL=")[2].partition("\n")[2]
    assert secret not in logged
    assert token["access_token"] not in logged


def test_the_key_and_the_database_are_for_their_owner_only(tmp_path):
    folder = tmp_path / "data"
    with serve(folder):
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "secret.key").stat().st_mode & 0o077 == 0


def test_the_first_admin_may_come_from_the_environment(tmp_path):
    settings = {
        "GRATICULE_BOOTSTRAP_ORGANISATION": "maps",
        "GRATICULE_BOOTSTRAP_ADMIN": "Ana",
        "GRATICULE_BOOTSTRAP_PASSWORD": "correct horse battery",
    }
    with serve(tmp_path, **settings) as running:
        body = {"organisation": "maps", "name": "Ana", "password": "correct horse battery"}
        answer = httpx2.post(f"{running.url}/api/v1/session", json=body)
        assert (answer.status_code, answer.json()["member"]["role"]) == (201, "admin")
    assert "correct horse battery" not in running.printed
    assert "GRATICULE_CREDENTIAL" not in running.printed


def test_without_authentication_the_server_says_so_loudly_and_stays_on_this_machine(tmp_path):
    with serve(tmp_path, GRATICULE_INSECURE_NO_AUTH="true", GRATICULE_WORKERS="2") as running:
        for _ in range(8):
            assert httpx2.get(f"{running.url}/api/v1/me").json()["role"] == "admin"
    assert "NO AUTHENTICATION" in running.printed
    refused = subprocess.run(
        [GRATICULE, "serve", "--insecure-no-auth", "--host", "0.0.0.0"],
        env={"GRATICULE_DATA_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert "must listen on a loopback address" in refused.stderr
