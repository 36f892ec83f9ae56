import os
import stat
import threading

import pytest
from pydantic import ValidationError

from graticule.access.keyring import Keyring, new_key
from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import Unavailable
from graticule.domain.secret import Secret
from graticule.settings import KEY_FILE, Settings
from graticule.storage.keys import TemporaryCredentials


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("GRATICULE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def test_defaults_serve_one_user_on_this_machine(tmp_path):
    settings = Settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8181)
    assert settings.data_dir == tmp_path / "share" / "graticule"
    assert settings.resolved_database_url == f"sqlite:///{settings.data_dir}/graticule.db"
    assert settings.allow_private_endpoints is False
    assert settings.sts_keys is None


def test_every_setting_says_what_it_is():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("GRATICULE_PORT", "9000")
    monkeypatch.setenv("GRATICULE_LOG_FORMAT", "JSON")
    monkeypatch.setenv("GRATICULE_PUBLIC_URL", "https://maps.example.org/")
    monkeypatch.setenv("GRATICULE_DATABASE_URL", "")

    settings = Settings()

    assert (settings.port, settings.log_format) == (9000, "json")
    assert settings.public_url == "https://maps.example.org"
    assert settings.resolved_database_url.startswith("sqlite:///")


def test_the_servers_identity_may_be_lasting_or_temporary():
    lasting = {"sts_access_key_id": "AKIA", "sts_secret_access_key": "s"}

    assert Settings(**lasting).sts_keys == AccessKeys("AKIA", Secret("s"))
    assert Settings(**lasting, sts_session_token="t").sts_keys == TemporaryCredentials(
        "AKIA", Secret("s"), Secret("t"), 0
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 70_000},
        {"credential_lifetime_s": 60},
        {"public_url": "maps.example.org"},
        {"database_url": "mysql://h/d"},
        {"secret_keys": "k1:hunter2"},
        {"sts_access_key_id": "hunter2"},
        {"sts_session_token": "hunter2"},
        {"log_level": "loud"},
    ],
)
def test_a_value_that_cannot_be_is_refused_without_being_shown(changes):
    with pytest.raises(ValidationError) as refused:
        Settings(**changes)
    assert "hunter2" not in str(refused.value)


def test_no_secret_is_in_the_representation():
    key = new_key()
    settings = Settings(
        secret_keys=f"k1:{key}", sts_access_key_id="AKIA", sts_secret_access_key="hunter2"
    )

    assert key not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")

    ring = settings.keyring()

    file = tmp_path / "data" / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert settings.keyring() == ring
    assert [path.name for path in file.parent.iterdir()] == [KEY_FILE]


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    start, rings = threading.Barrier(8), []

    def take():
        start.wait()
        rings.append(settings.keyring())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({ring.keys for ring in rings}) == 1
    assert len(rings) == 8


def test_keys_of_the_environment_win_over_the_file(tmp_path):
    text = f"k2:{new_key()},k1:{new_key()}"

    assert Settings(data_dir=tmp_path, secret_keys=text).keyring() == Keyring.parse(text)
    assert not (tmp_path / KEY_FILE).exists()


def test_a_damaged_key_file_is_named_and_never_overwritten(tmp_path):
    (tmp_path / KEY_FILE).write_text("k1:damaged")

    with pytest.raises(Unavailable, match="is damaged"):
        Settings(data_dir=tmp_path).keyring()
    assert (tmp_path / KEY_FILE).read_text() == "k1:damaged"
