"""What the server vends, to whom, and what it keeps for itself."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from graticule.domain.catalog import AccessLevel, StorageCredential
from graticule.domain.errors import InvalidLocation, StorageRefused
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.services.credentials import Credentials, client_config
from graticule.storage.iam_policy import LocationGrant
from graticule.storage.identity import ServerIdentity
from support.faults import faulty
from support.principals import ANA, BEN
from support.seaweedfs import STRANGERS_ROLE, integration_on

READ, WRITE = AccessLevel.READ, AccessLevel.WRITE
NOW_MS = int(time.time() * 1000)


@pytest.fixture
def proxy(seaweedfs):
    """The store, with every request counted."""
    with faulty(seaweedfs.endpoint) as proxy:
        yield proxy


@pytest.fixture
def integration(seaweedfs, proxy):
    return replace(integration_on(seaweedfs, "s3://lake/vend"), endpoint=proxy.endpoint)


@pytest.fixture
def credentials(seaweedfs):
    return Credentials(
        identity=ServerIdentity(seaweedfs.catalog_keys), now_ms=lambda: NOW_MS, outbound=ANYWHERE
    )


TABLE = LocationGrant("s3://lake/vend/t1/", WRITE)


@pytest.mark.s3
def test_a_credential_says_what_it_is_for_and_how_long_it_lasts(credentials, integration):
    source = LocationGrant("s3://lake/vend/raw/a.parquet", READ)

    vended = credentials.vend(ANA, integration, [TABLE, source])

    assert vended.access is WRITE
    assert vended.locations == ("s3://lake/vend/t1/", "s3://lake/vend/raw/a.parquet")
    assert abs(vended.expires_at_ms - time.time() * 1000 - 3_600_000) < 60_000
    assert vended.secret_access_key.reveal() not in repr(vended)
    assert vended.session_token.reveal() not in repr(vended)
    assert credentials.vend(ANA, integration, [source]).access is READ


@pytest.mark.s3
def test_the_same_member_and_grants_share_one_session_however_many_ask(
    credentials, integration, proxy
):
    with ThreadPoolExecutor(16) as pool:
        vended = list(pool.map(lambda _: credentials.vend(ANA, integration, [TABLE]), range(64)))

    assert len({one.access_key_id for one in vended}) == 1
    assert proxy.seen["POST"] == 1


@pytest.mark.s3
def test_another_member_grant_or_version_gets_a_session_of_its_own(credentials, integration):
    reading = LocationGrant(TABLE.location, READ)
    vended = [
        credentials.vend(ANA, integration, [TABLE]),
        credentials.vend(BEN, integration, [TABLE]),
        credentials.vend(ANA, integration, [reading]),
        credentials.vend(ANA, replace(integration, version=2), [TABLE]),
    ]

    assert len({one.access_key_id for one in vended}) == 4


@pytest.mark.s3
def test_a_changed_integration_is_vended_anew(credentials, integration):
    before = credentials.vend(ANA, integration, [TABLE])

    credentials.invalidate(integration.id)

    assert credentials.vend(ANA, integration, [TABLE]).access_key_id != before.access_key_id


@pytest.mark.s3
@pytest.mark.parametrize(
    "location",
    [
        "s3://lake/vend2/t1/",
        "s3://lake/",
        "s3://lake/other/",
        "s3://elsewhere/vend/t1/",
        "s3://lake/vend/../x/",
        "s3://lake/vend/*/",
    ],
)
def test_nothing_outside_the_integration_is_vended_and_the_store_is_not_even_asked(
    credentials, integration, proxy, location
):
    with pytest.raises(InvalidLocation):
        credentials.vend(ANA, integration, [TABLE, LocationGrant(location, READ)])

    assert proxy.seen.total() == 0


@pytest.mark.s3
def test_a_refused_role_is_asked_again_by_the_next_caller(credentials, integration, proxy):
    strange = replace(integration, role_arn=STRANGERS_ROLE.arn)

    for _ in range(2):
        with pytest.raises(StorageRefused, match="AccessDenied"):
            credentials.vend(ANA, strange, [TABLE])

    assert proxy.seen["POST"] == 2


@pytest.mark.s3
def test_the_servers_own_store_reaches_its_integration_and_nothing_beside_it(
    credentials, integration
):
    store = credentials.store_for(integration)
    uri = f"s3://lake/vend/{time.time_ns()}"
    store.put_if_absent(uri, b"x")

    assert store.get(uri) == b"x"
    wider = replace(integration, location=Location("lake", ""), version=2)
    assert credentials.store_for(wider).get(uri) == b"x"
    # The session itself ends at the path, not only our own check of locations.
    store.root = Location("lake", "")
    with pytest.raises(StorageRefused, match="AccessDenied"):
        store.get("s3://lake/vend2/x")


@pytest.mark.s3
def test_the_servers_store_is_kept_until_the_integration_changes(credentials, integration):
    store = credentials.store_for(integration)

    assert credentials.store_for(integration) is store
    assert credentials.store_for(replace(integration, version=2)) is not store
    credentials.invalidate(integration.id)
    assert credentials.store_for(integration) is not store


@pytest.mark.s3
def test_access_keys_are_narrowed_for_clients_and_never_sent(credentials, seaweedfs):
    keys = seaweedfs.keys_of("keyuser")
    integration = integration_on(seaweedfs, "s3://lake/vend", access_keys=keys)

    vended = credentials.vend(ANA, integration, [TABLE])

    assert vended.access_key_id != keys.access_key_id
    assert vended.secret_access_key != keys.secret_access_key
    assert vended.session_token


def test_a_server_without_keys_never_lends_the_machines_identity_to_a_foreign_store():
    def machine_identity():
        raise AssertionError("the ambient identity was asked for")

    identity = ServerIdentity(ambient=machine_identity)
    integration = _integration(endpoint="https://s3.example.com")

    with pytest.raises(StorageRefused, match="no access keys of its own"):
        identity.keys_for(integration)


def test_without_any_identity_a_role_on_aws_is_refused_with_the_way_out():
    with pytest.raises(StorageRefused, match="no AWS identity"):
        ServerIdentity(ambient=lambda: None).keys_for(_integration(endpoint=None))


VENDED = StorageCredential(
    access_key_id="ASIA1",
    secret_access_key=Secret("secret"),
    session_token=Secret("token"),
    expires_at_ms=1_700_000_000_000,
    access=WRITE,
    locations=("s3://lake/vend/t1/",),
)


def test_the_properties_for_a_store_of_its_own_name_its_endpoint():
    config = client_config(
        _integration(endpoint="https://s3.example.com"), VENDED, refresh_endpoint="v1/c/credentials"
    )

    assert config == {
        "s3.access-key-id": "ASIA1",
        "s3.secret-access-key": "secret",
        "s3.session-token": "token",
        "s3.session-token-expires-at-ms": "1700000000000",
        "client.region": "eu-central-1",
        "s3.region": "eu-central-1",
        "s3.endpoint": "https://s3.example.com",
        "s3.path-style-access": "true",
        "client.refresh-credentials-endpoint": "v1/c/credentials",
    }


def test_the_properties_for_aws_leave_the_endpoint_to_the_client():
    config = client_config(_integration(endpoint=None), VENDED, refresh_endpoint=None)

    assert config == {
        "s3.access-key-id": "ASIA1",
        "s3.secret-access-key": "secret",
        "s3.session-token": "token",
        "s3.session-token-expires-at-ms": "1700000000000",
        "client.region": "eu-central-1",
        "s3.region": "eu-central-1",
    }


class _Somewhere:
    region = "eu-central-1"
    role_arn = "arn:aws:iam::000000000000:role/Lake"

    def __init__(self, endpoint):
        self.endpoint = endpoint


def _integration(*, endpoint):
    return integration_on(_Somewhere(endpoint), "s3://lake/vend")
