"""The texts an admin pastes make a role that answers us, and nobody without our external id."""

import json
import uuid

import pytest

from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import StorageRefused
from graticule.domain.location import Location
from graticule.outbound.gate import ANYWHERE
from graticule.storage.iam_policy import LocationGrant, role_policy, session_policy, trust_policy
from graticule.storage.s3 import ObjectStore
from graticule.storage.sts import TokenService, session_name

pytestmark = pytest.mark.iam

EXTERNAL_ID = "0198c0de-0000-7000-8000-00000000000e"


@pytest.fixture(scope="module")
def role_arn(ministack):
    """A role made of the generated texts, exactly as they are pasted."""
    return ministack.create_role(
        f"Pasted-{uuid.uuid4().hex[:8]}",
        trust=json.loads(json.dumps(trust_policy(ministack.catalog_arn, EXTERNAL_ID))),
        policy=role_policy(Location("lake", "ours"), AccessLevel.WRITE),
    )


def assume(ministack, role_arn, external_id, *, keys=None, policy=None):
    service = TokenService(
        keys or ministack.catalog_keys,
        region=ministack.region,
        endpoint=ministack.endpoint,
        outbound=ANYWHERE,
    )
    return service.assume_role(
        role_arn,
        session_name=session_name("test", "external-id"),
        external_id=external_id,
        policy=policy,
        duration_s=900,
    )


def store_of(ministack, keys, root="ours"):
    return ObjectStore(
        Location("lake", root),
        region=ministack.region,
        endpoint=ministack.endpoint,
        path_style=True,
        credentials=lambda: keys,
        outbound=ANYWHERE,
    )


def test_the_right_external_id_opens_the_role_and_its_path(ministack, role_arn):
    store = store_of(ministack, assume(ministack, role_arn, EXTERNAL_ID))
    uri = f"s3://lake/ours/{uuid.uuid4()}"

    store.put_if_absent(uri, b"x")

    assert store.get(uri) == b"x"
    assert store.exists(uri)
    store.delete([uri])
    assert not store.exists(uri)


def test_the_pasted_policy_ends_at_the_path(ministack, role_arn):
    keys = assume(ministack, role_arn, EXTERNAL_ID)

    with pytest.raises(StorageRefused, match="AccessDenied"):
        store_of(ministack, keys, "ours2").put_if_absent("s3://lake/ours2/x", b"x")
    with pytest.raises(StorageRefused, match="AccessDenied"):
        next(store_of(ministack, keys, "ours2").list(Location("lake", "ours2")))


@pytest.mark.parametrize("external_id", [None, "wrong-id", EXTERNAL_ID.upper()])
def test_a_missing_or_wrong_external_id_is_refused(ministack, role_arn, external_id):
    with pytest.raises(StorageRefused, match="AccessDenied"):
        assume(ministack, role_arn, external_id)


def test_another_principal_is_refused_even_with_the_external_id(ministack, role_arn):
    with pytest.raises(StorageRefused, match="AccessDenied"):
        assume(ministack, role_arn, EXTERNAL_ID, keys=ministack.stranger_keys)


def test_a_session_policy_narrows_the_pasted_role(ministack, role_arn):
    policy = session_policy([LocationGrant("s3://lake/ours/t1/", AccessLevel.WRITE)])
    store = store_of(ministack, assume(ministack, role_arn, EXTERNAL_ID, policy=policy))
    name = uuid.uuid4()

    store.put_if_absent(f"s3://lake/ours/t1/{name}", b"x")
    with pytest.raises(StorageRefused, match="AccessDenied"):
        store.put_if_absent(f"s3://lake/ours/t10/{name}", b"x")


def test_a_session_policy_never_widens_the_pasted_role(ministack, role_arn):
    policy = session_policy([LocationGrant("s3://lake/theirs/t1/", AccessLevel.WRITE)])
    keys = assume(ministack, role_arn, EXTERNAL_ID, policy=policy)

    with pytest.raises(StorageRefused, match="AccessDenied"):
        store_of(ministack, keys, "theirs").put_if_absent("s3://lake/theirs/t1/x", b"x")


def test_a_session_name_shows_who_acts_and_cannot_be_guessed():
    first = session_name("Ana López", "0198c0de-0000-7000-8000-a11ce0000001")
    second = session_name("Ana López", "0198c0de-0000-7000-8000-a11ce0000001")

    assert first.startswith("Ana-L-pez-a11ce0000001-")
    assert first != second
    long = session_name("x" * 300, "y" * 300, characters_max=32)
    assert len(long) == 32
    assert set(session_name("*:/\n", "***")) <= set("0123456789abcdef-")
