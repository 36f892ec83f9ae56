"""What the server vends, to whom, and what it keeps for itself."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from graticule.domain.catalog import AccessLevel, StorageCredential, StorageIntegration
from graticule.domain.errors import (
    InvalidLocation,
    NoSuchFile,
    PolicyTooLarge,
    SessionsNotNarrowed,
    SessionTooLong,
    StorageRefused,
    StorageUnavailable,
)
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.services.catalog.client_properties import session_config
from graticule.services.integrations.credentials import Credentials
from graticule.storage.iam_policy import LocationGrant
from graticule.storage.identity import ServerIdentity
from graticule.storage.keys import TemporaryCredentials
from graticule.storage.sts import TokenService
from support.faults import Answers, PassesOn, faulty
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
    # One session to see that the store keeps sessions to their policies, and this one.
    assert proxy.seen["POST"] == 2


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
def test_a_refused_role_is_asked_again_each_time(credentials, integration, proxy):
    strange = replace(integration, role_arn=STRANGERS_ROLE.arn)

    for asked in (1, 2):
        with pytest.raises(StorageRefused, match="AccessDenied"):
            credentials.vend(ANA, strange, [TABLE])
        assert proxy.seen["POST"] == asked


@pytest.mark.s3
def test_an_integration_whose_store_denies_us_is_told_of_and_a_missing_file_is_not(
    credentials, integration, proxy
):
    denied: list[StorageIntegration] = []
    credentials.when_refused(denied.append)
    strange = replace(integration, id="strange", role_arn=STRANGERS_ROLE.arn)
    store = credentials.store_for(integration)

    with pytest.raises(StorageRefused, match="AccessDenied"):
        credentials.vend(ANA, strange, [TABLE])
    with pytest.raises(NoSuchFile):
        store.get("s3://lake/vend/nothing")
    assert denied == [strange]

    body = b"<Error><Code>AccessDenied</Code></Error>"
    proxy.faults = [Answers(403, "GET", body=body)]
    with pytest.raises(StorageRefused, match="AccessDenied"):
        store.get("s3://lake/vend/nothing")
    assert denied == [strange, integration]


@pytest.mark.s3
def test_a_session_name_shows_who_acts_in_the_stores_own_log(credentials, seaweedfs, integration):
    vended = credentials.vend(ANA, integration, [TABLE])
    keys = TemporaryCredentials(
        vended.access_key_id, vended.secret_access_key, vended.session_token, 0
    )
    service = TokenService(
        keys, region=seaweedfs.region, endpoint=seaweedfs.endpoint, outbound=ANYWHERE
    )

    assert "/Ana-L-pez-a11ce0000001-" in service.caller_arn()


@pytest.mark.s3
def test_a_session_of_a_read_only_integration_writes_nothing_not_even_the_servers_own(
    credentials, integration
):
    store = credentials.store_for(replace(integration, read_only=True))
    store._read_only = False  # without our own check: it is the session that ends here

    assert next(store.list(integration.location), []) is not None
    with pytest.raises(StorageRefused, match="AccessDenied"):
        store.put_if_absent(f"s3://lake/vend/{time.time_ns()}", b"x")


ALLOWED = Answers(200, headers=(("ETag", '"e"'),))
LISTED = Answers(200, body=b"<ListBucketResult></ListBucketResult>")
DELETED = Answers(200, "POST", body=b"<DeleteResult></DeleteResult>")


@pytest.mark.s3
@pytest.mark.parametrize(
    ("verb", "faults"),
    [
        ("list", [LISTED]),
        ("read", [PassesOn("GET"), ALLOWED]),
        ("read", [PassesOn("GET"), Answers(404, body=b"<Error><Code>NoSuchKey</Code></Error>")]),
        ("write", [replace(ALLOWED, method="PUT"), PassesOn("POST"), DELETED]),
    ],
)
def test_a_store_that_lets_a_session_beyond_its_policy_gets_no_credential_out_of_us(
    credentials, integration, proxy, verb, faults
):
    proxy.faults += faults

    for _ in range(2):
        with pytest.raises(SessionsNotNarrowed, match=f"allowed to {verb} outside"):
            credentials.vend(ANA, integration, [TABLE])
    assert proxy.faults == []
    asked = proxy.seen.total()
    # Requests are signed with a session all the same: it may hold some of them to the table.
    signing = credentials.signing_keys(ANA, integration, [TABLE])
    assert isinstance(signing.keys, TemporaryCredentials)
    assert not signing.are_narrow
    assert proxy.seen.total() == asked + 1

    credentials.invalidate(integration.id)
    assert credentials.vend(ANA, integration, [TABLE]).access is WRITE
    assert credentials.signing_keys(ANA, integration, [TABLE]).are_narrow


@pytest.mark.s3
def test_whether_a_store_keeps_sessions_to_their_policies_is_asked_once(
    credentials, integration, proxy
):
    for table in ("t1", "t2", "t3"):
        credentials.vend(ANA, integration, [LocationGrant(f"s3://lake/vend/{table}/", READ)])
    assert proxy.seen == {"POST": 1 + 3, "GET": 2, "PUT": 1}

    credentials.invalidate(integration.id)
    credentials.vend(ANA, integration, [TABLE])
    assert proxy.seen == {"POST": 2 + 4, "GET": 4, "PUT": 2}


@pytest.mark.s3
def test_a_store_that_does_not_answer_the_question_gets_no_credential_out_of_us(
    credentials, integration, proxy
):
    proxy.faults += [Answers(503)] * 3

    with pytest.raises(StorageUnavailable):
        credentials.vend(ANA, integration, [TABLE])

    assert proxy.faults == []


def refusing(code, message, *, status=400):
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answers(status, "POST", body=f"{body}</ErrorResponse>".encode())


SHORTER_ROLE = refusing(
    "ValidationError",
    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
)
CHAINED_ROLE = refusing(
    "ValidationError",
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
    "chaining.",
)


@pytest.mark.s3
@pytest.mark.parametrize("refusal", [SHORTER_ROLE, CHAINED_ROLE], ids=["role", "chaining"])
def test_where_long_sessions_are_refused_shorter_ones_are_asked_for_from_then_on(
    seaweedfs, integration, proxy, refusal
):
    credentials = Credentials(
        identity=ServerIdentity(seaweedfs.catalog_keys),
        now_ms=lambda: NOW_MS,
        duration_s=7200,
        outbound=ANYWHERE,
    )
    proxy.faults += [PassesOn("POST"), refusal]

    first = credentials.vend(ANA, integration, [TABLE])
    second = credentials.vend(BEN, integration, [TABLE])

    for vended in (first, second):
        assert abs(vended.expires_at_ms - time.time() * 1000 - 3_600_000) < 60_000
    assert proxy.seen["POST"] == 1 + 2 + 1
    credentials.invalidate(integration.id)  # perhaps the role was changed meanwhile
    later = credentials.vend(ANA, replace(integration), [LocationGrant(TABLE.location, READ)])
    assert abs(later.expires_at_ms - time.time() * 1000 - 7_200_000) < 60_000


@pytest.mark.s3
def test_where_even_the_shortest_session_is_too_long_the_message_says_what_to_set(
    credentials, integration, proxy
):
    proxy.faults += [PassesOn("POST"), SHORTER_ROLE, SHORTER_ROLE]

    with pytest.raises(SessionTooLong, match="GRATICULE_CREDENTIAL_LIFETIME_S"):
        credentials.vend(ANA, integration, [TABLE])

    assert proxy.faults == []


@pytest.mark.s3
def test_a_policy_too_large_when_packed_is_not_asked_for_again(credentials, integration, proxy):
    packed = refusing("PackedPolicyTooLarge", "Packed size of session policy is 104% of the limit")
    proxy.faults += [PassesOn("POST"), packed]

    for _ in range(3):
        with pytest.raises(PolicyTooLarge, match="104%"):
            credentials.vend(ANA, integration, [TABLE])

    assert proxy.seen["POST"] == 2
    assert credentials.vend(BEN, integration, [TABLE]).access is WRITE


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
    config = session_config(
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
        "credentials.uri": "v1/c/credentials",
    }


@pytest.mark.parametrize(("access", "tells"), [(WRITE, True), (READ, False)])
def test_who_writes_is_told_which_key_encrypts(access, tells):
    key = "arn:aws:kms:eu-central-1:123456789012:key/k"
    integration = replace(_integration(endpoint=None), kms_key_arn=key)

    config = session_config(integration, replace(VENDED, access=access), refresh_endpoint=None)

    assert {name: value for name, value in config.items() if "sse" in name or "side" in name} == (
        {
            "s3.sse.type": "kms",
            "s3.sse.key": key,
            "s3.server-side-encryption": "aws:kms",
            "s3.sse-kms-key-id": key,
        }
        if tells
        else {}
    )


def test_the_properties_for_aws_leave_the_endpoint_to_the_client():
    config = session_config(_integration(endpoint=None), VENDED, refresh_endpoint=None)

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
