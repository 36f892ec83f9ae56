import base64

import pytest

from graticule.access.keyring import Keyring, WrappedKey
from graticule.domain.errors import Unavailable
from graticule.settings import Settings
from graticule.storage.key_wrapping import KeyWrapping
from support.ministack import REGION, ROOT_KEYS


@pytest.fixture(scope="module")
def kms_key(ministack):
    return ministack.client("kms").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def wrapping(ministack):
    return KeyWrapping(ROOT_KEYS, endpoint=ministack.endpoint)


@pytest.fixture
def settings(ministack, tmp_path):
    """Settings of a server that has the double's root as its AWS identity."""

    def build(**changes):
        return Settings(
            data_dir=tmp_path,
            sts_access_key_id=ROOT_KEYS.access_key_id,
            sts_secret_access_key=ROOT_KEYS.secret_access_key.reveal(),
            kms_endpoint=ministack.endpoint,
            **changes,
        )

    return build


def test_a_wrapped_key_is_the_same_key_at_every_start(wrapping, kms_key, settings):
    entry = wrapping.new_key("k2", kms_key, region=REGION)
    plain = base64.b64encode(b"1" * 32).decode()

    first = settings(secret_keys=f"{entry},k1:{plain}").keyring()
    second = settings(secret_keys=f"{entry},k1:{plain}").keyring()

    assert first == second
    assert [name for name, _ in first.keys] == ["k2", "k1"]
    assert first.keys[1] == ("k1", b"1" * 32)
    assert base64.b64encode(first.keys[0][1]).decode() not in entry


def test_a_file_of_wrapped_and_plain_keys_is_read_line_by_line(
    wrapping, kms_key, settings, tmp_path
):
    file = tmp_path / "keys"
    plain = base64.b64encode(b"1" * 32).decode()
    file.write_text(f"{wrapping.new_key('k2', kms_key, region=REGION)}\nk1:{plain}\n")

    ring = settings(secret_keys_file=file).keyring()

    assert [name for name, _ in ring.keys] == ["k2", "k1"]


def test_a_wrapped_key_under_another_name_is_not_unwrapped(wrapping, kms_key):
    entry = wrapping.new_key("k2", kms_key, region=REGION)
    box = base64.b64decode(entry.rpartition(":")[2])

    assert len(wrapping.unwrap(WrappedKey("k2", REGION, box))) == 32
    with pytest.raises(Unavailable, match=r"`k3` could not be unwrapped: .*needs `kms:Decrypt`"):
        wrapping.unwrap(WrappedKey("k3", REGION, box))


def test_a_kms_that_does_not_answer_stops_the_start_with_the_reason(wrapping, kms_key, settings):
    entry = wrapping.new_key("k2", kms_key, region=REGION)
    broken = settings(secret_keys=entry).model_copy(update={"kms_endpoint": "http://127.0.0.1:1"})

    with pytest.raises(Unavailable, match="the secret key `k2` could not be unwrapped"):
        broken.keyring()


@pytest.mark.parametrize(
    "text", ["k1:kms:eu:!", "k1:kms:eu", "k1:kms:eu:AA==:x", "k 1:kms:eu:AA=="]
)
def test_a_malformed_wrapped_key_is_refused_before_anybody_is_asked(text):
    with pytest.raises(ValueError, match=r"k ?1"):
        Keyring.check_text(text)
