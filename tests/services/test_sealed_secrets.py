import base64
from dataclasses import replace

import pytest

from graticule.access.keyring import Keyring
from graticule.db import sealed_secrets as sealed_db
from graticule.db import webhooks as webhooks_db
from graticule.db.engine import read, transact, write
from graticule.db.schema import metadata
from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import Unavailable
from graticule.domain.secret import Secret
from graticule.domain.webhook import Webhook
from graticule.services.accounts import sealed_secrets
from graticule.services.accounts.sealed_secrets import Rotation, SealedSecrets
from graticule.services.integrations.integrations import NewIntegration
from graticule.settings import Settings
from graticule.wiring import open_services
from support.principals import ANA
from support.rows import create_catalogs
from support.tenants import RING, ROLE

OLD = RING.keys[0]
NEW = ("k2", b"2" * 32)
BOTH = Keyring.from_keys([NEW, OLD])
SECRETS = 5


@pytest.fixture
def sealed(tenants, integrations):
    """Secrets of integrations and of a webhook, sealed with the old key; the texts by place."""
    for number in range(SECRETS - 1):
        keys = AccessKeys(f"AKIA{number}", Secret(f"secret {number}"))
        new = NewIntegration(
            name=f"i{number}",
            path=f"s3://bucket-{number}",
            access_keys=keys,
            region="eu-central-1",
        )
        integrations.create(ANA, new)
    role = NewIntegration(name="r", path="s3://roles", role_arn=ROLE, region="eu-central-1")
    integrations.create(ANA, role)
    with write(tenants) as conn:
        webhook = Webhook(
            id="w",
            organisation_id=ANA.organisation_id,
            name="w",
            url="https://example.org",
            types=("*",),
            catalog_id=None,
            object_id=None,
            secret=Secret("secret of w"),
            is_enabled=True,
            created_at_ms=1,
        )
        webhooks_db.create(conn, RING, webhook)
    return lambda: texts(tenants)


def texts(engine):
    found = {}
    with read(engine) as conn:
        for column in sealed_db.SEALED_COLUMNS:
            for secret in sealed_db.not_sealed_by(conn, "nobody", column, after="", limit=100):
                found[column.place_of(secret.row_id)] = secret.sealed
    return found


def opened(ring, sealed):
    return {place: ring.open(text, bound_to=place).reveal() for place, text in sealed.items()}


def test_every_sealed_column_is_known():
    assert {(c.table.name, c.name) for c in sealed_db.SEALED_COLUMNS} == {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name.startswith("sealed_")
    }


def test_everything_is_sealed_anew_under_the_newest_key_and_opens_without_the_old(tenants, sealed):
    before = sealed()
    assert len(before) == SECRETS

    done = SealedSecrets(tenants, BOTH).rotate()

    after = sealed()
    assert done == Rotation("k2", resealed=SECRETS, unopened=0)
    assert all(text.startswith("v1.k2.") for text in after.values())
    assert opened(Keyring.from_keys([NEW]), after) == opened(RING, before)
    SealedSecrets(tenants, Keyring.from_keys([NEW])).check()
    assert SealedSecrets(tenants, BOTH).rotate() == Rotation("k2", resealed=0, unopened=0)


def test_a_rotation_that_was_cut_short_goes_on_where_it_was(tenants, sealed, monkeypatch):
    monkeypatch.setattr(sealed_secrets, "SECRETS_PER_TRANSACTION", 2)
    kept = []

    def transact_once(*args):
        if kept:
            raise KeyboardInterrupt
        kept.append(transact(*args))
        return kept[0]

    monkeypatch.setattr(sealed_secrets, "transact", transact_once)
    with pytest.raises(KeyboardInterrupt):
        SealedSecrets(tenants, BOTH).rotate()
    monkeypatch.undo()
    SealedSecrets(tenants, BOTH).check()

    rest = SealedSecrets(tenants, BOTH).rotate()

    assert rest == Rotation("k2", resealed=SECRETS - 2, unopened=0)


def test_a_secret_replaced_meanwhile_is_not_overwritten(tenants, sealed):
    with read(tenants) as conn:
        secret = sealed_db.sample(conn, "k1")
    with write(tenants) as conn:
        assert sealed_db.replace(conn, secret, "v1.k1.newer")
        assert not sealed_db.replace(conn, secret, "v1.k2.older")


def test_a_secret_that_does_not_open_is_left_and_counted(tenants, sealed):
    with read(tenants) as conn:
        secret = sealed_db.sample(conn, "k1")
    with write(tenants) as conn:
        sealed_db.replace(conn, secret, secret.sealed[:-8] + "AAAAAAA=")

    assert SealedSecrets(tenants, BOTH).rotate() == Rotation("k2", SECRETS - 1, unopened=1)


def test_a_start_without_the_keys_says_which_are_missing_and_for_how_many_secrets(tenants, sealed):
    with pytest.raises(Unavailable, match=rf"does not have: `k1` \({SECRETS}\)\. Add them to"):
        SealedSecrets(tenants, Keyring.from_keys([NEW])).check()


def test_a_start_with_another_key_of_the_same_name_is_refused(tenants, sealed):
    with pytest.raises(Unavailable, match="another one of the same name"):
        SealedSecrets(tenants, Keyring.from_keys([("k1", b"0" * 32)])).check()


def test_a_start_with_nothing_sealed_takes_any_key(tenants):
    SealedSecrets(tenants, Keyring.from_keys([NEW])).check()


def test_key_names_that_are_patterns_match_only_themselves(tenants, integrations):
    ring = Keyring.from_keys([("k_1", b"k" * 32), ("kx1", b"x" * 32)])
    integrations._keyring = ring
    keys = AccessKeys("AKIA", Secret("s"))
    new = NewIntegration(name="i", path="s3://bucket", access_keys=keys, region="eu-central-1")
    integrations.create(ANA, new)
    with read(tenants) as conn:
        assert sealed_db.count_by_key(conn) == {"k_1": 1}
        assert sealed_db.sample(conn, "kx1") is None
    swapped = replace(ring, keys=ring.keys[::-1])
    assert SealedSecrets(tenants, swapped).rotate() == Rotation("kx1", resealed=1, unopened=0)


def test_a_server_does_not_start_on_secrets_that_it_cannot_open(tmp_path):
    def opened(key):
        text = f"k1:{base64.b64encode(key).decode()}"
        return open_services(Settings(data_dir=tmp_path, secret_keys=text))

    services = opened(b"1" * 32)
    with write(services.engine) as conn:
        create_catalogs(conn)
        conn.exec_driver_sql("UPDATE storage_integrations SET role_arn = NULL, access_key_id = 'A'")
        sealed = Keyring.from_keys([("k1", b"1" * 32)]).seal(
            Secret("s"), bound_to="storage_integrations:i:secret_access_key"
        )
        conn.exec_driver_sql(
            "UPDATE storage_integrations SET sealed_secret_access_key = ?", (sealed,)
        )
    services.close()

    opened(b"1" * 32).close()
    with pytest.raises(Unavailable, match="another one of the same name"):
        opened(b"2" * 32)
