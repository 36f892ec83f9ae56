"""Clients act as whom they are told, and as nobody else, whatever the environment says."""

import pytest

from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import StorageRefused
from graticule.domain.location import Location
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage.clients import ambient_keys, s3_client, sts_client
from graticule.storage.s3 import ObjectStore

KEYS = AccessKeys("AKIDEXPLICIT", Secret("explicit"))


@pytest.fixture
def hostile_environment(monkeypatch, tmp_path):
    """What a server may find around it: a profile, keys, an endpoint and a proxy, all not ours."""
    config = tmp_path / "config"
    config.write_text("[default]\nregion = ap-south-1\nendpoint_url = http://127.0.0.1:9\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDAMBIENT",
        "AWS_SECRET_ACCESS_KEY": "ambient",
        "AWS_SESSION_TOKEN": "ambient-token",
        "AWS_PROFILE": "absent",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("hostile_environment")
def test_explicit_keys_win_over_everything_ambient():
    client = s3_client(KEYS, region="eu-central-1", endpoint=None, path_style=False)
    tokens = sts_client(KEYS, region="eu-central-1", endpoint=None)

    for one, endpoint in (
        (client, "https://s3.eu-central-1.amazonaws.com"),
        (tokens, "https://sts.eu-central-1.amazonaws.com"),
    ):
        signing = one._request_signer._credentials
        assert (signing.access_key, signing.secret_key, signing.token) == (
            "AKIDEXPLICIT",
            "explicit",
            None,
        )
        assert one.meta.endpoint_url == endpoint


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
        ("us-east-1", "https://sts.us-east-1.amazonaws.com"),
    ],
)
def test_the_token_service_is_the_regions_own(region, endpoint):
    assert sts_client(KEYS, region=region, endpoint=None).meta.endpoint_url == endpoint


@pytest.mark.usefixtures("hostile_environment")
@pytest.mark.s3
def test_a_store_next_door_is_reached_without_the_proxy_of_the_environment(seaweedfs):
    store = ObjectStore(
        Location("lake", "clients"),
        region=seaweedfs.region,
        endpoint=seaweedfs.endpoint,
        path_style=True,
        credentials=lambda: seaweedfs.admin_keys,
        outbound=ANYWHERE,
    )

    assert not store.exists("s3://lake/clients/absent")


@pytest.mark.usefixtures("hostile_environment")
@pytest.mark.s3
def test_nobody_is_really_nobody(seaweedfs):
    store = ObjectStore(
        Location("lake", "clients"),
        region=seaweedfs.region,
        endpoint=seaweedfs.endpoint,
        path_style=True,
        credentials=lambda: None,
        outbound=ANYWHERE,
    )

    with pytest.raises(StorageRefused, match="403"):
        store.get("s3://lake/clients/absent")


def test_the_machines_identity_is_found_when_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")

    assert ambient_keys()() == AccessKeys("AKIDAMBIENT", Secret("ambient"))


def test_a_machine_without_an_identity_has_none(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")

    assert ambient_keys()() is None
