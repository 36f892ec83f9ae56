"""`graticule serve` as an operator runs it."""

import signal

import httpx2

from support.process import serve


def test_the_first_start_shows_the_admins_credential_and_no_later_one_does(tmp_path):
    with serve(tmp_path) as first:
        credential = first.credential
        token = credential.replace(":", ".", 1)
        me = httpx2.get(f"{first.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert (me.json()["name"], me.json()["role"]) == ("admin", "admin")
        assert httpx2.get(f"{first.url}/api/v1/me").status_code == 401
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
