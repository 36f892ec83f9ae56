import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.access.keyring import Keyring, new_key
from graticule.domain.errors import Unavailable
from graticule.domain.secret import Secret

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLACE = "storage_integrations:1:secret_access_key"


@given(st.text(), st.text())
def test_what_was_sealed_opens_at_its_place(plain, place):
    ring = Keyring.from_keys([("k1", OLD)])

    assert ring.open(ring.seal(Secret(plain), bound_to=place), bound_to=place).reveal() == plain


def test_a_sealed_secret_moved_to_another_row_does_not_open():
    ring = Keyring.from_keys([("k1", OLD)])
    sealed = ring.seal(Secret("s3cret"), bound_to=PLACE)

    with pytest.raises(Unavailable, match="damaged or moved"):
        ring.open(sealed, bound_to=PLACE.replace("1", "2"))


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_damaged_sealed_secret_does_not_open(position, change):
    ring = Keyring.from_keys([("k1", OLD)])
    version, name, encoded = ring.seal(Secret("s3cret" * 6), bound_to=PLACE).split(".")
    box = bytearray(base64.urlsafe_b64decode(encoded))
    box[position] ^= change
    damaged = f"{version}.{name}.{base64.urlsafe_b64encode(box).decode()}"

    with pytest.raises(Unavailable):
        ring.open(damaged, bound_to=PLACE)


def test_after_a_rotation_old_secrets_open_and_new_ones_use_the_new_key():
    before = Keyring.from_keys([("k1", OLD)])
    after = Keyring.from_keys([("k2", NEW), ("k1", OLD)])
    sealed = before.seal(Secret("s3cret"), bound_to=PLACE)

    assert after.open(sealed, bound_to=PLACE) == Secret("s3cret")
    assert after.seal(Secret("s3cret"), bound_to=PLACE).startswith("v1.k2.")
    assert before.derive("tokens") in after.derive_all("tokens")
    assert before.derive("tokens") != after.derive("tokens")


def test_a_missing_key_is_named():
    sealed = Keyring.from_keys([("k1", OLD)]).seal(Secret("s3cret"), bound_to=PLACE)

    with pytest.raises(Unavailable, match=r"sealed with the key `k1`.*GRATICULE_SECRET_KEYS"):
        Keyring.from_keys([("k2", NEW)]).open(sealed, bound_to=PLACE)


def test_a_relabelled_secret_does_not_open_even_with_the_same_key():
    ring = Keyring.from_keys([("k1", OLD), ("k2", OLD)])
    sealed = ring.seal(Secret("s3cret"), bound_to=PLACE)

    with pytest.raises(Unavailable):
        ring.open(sealed.replace("v1.k1.", "v1.k2."), bound_to=PLACE)


def test_every_purpose_has_a_key_of_its_own():
    ring = Keyring.from_keys([("k1", OLD)])

    assert len({ring.derive("tokens"), ring.derive("pages"), ring.derive("sealing"), OLD}) == 4


def test_a_key_ring_is_read_in_order_and_never_shown():
    text = f"k2:{base64.b64encode(NEW).decode()}, k1:{base64.b64encode(OLD).decode()}"

    ring = Keyring.parse(text)

    assert ring == Keyring.from_keys([("k2", NEW), ("k1", OLD)])
    assert repr(ring) == "Keyring()"
    assert Keyring.parse(f"a:{new_key()}") != Keyring.parse(f"a:{new_key()}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write a key ring as"),
        ("justakey", "write a key ring as"),
        ("k1:not base64!", "key `k1` is not base64"),
        ("k1:c2hvcnQ=", "key `k1` has 5 bytes instead of 32"),
        (f"k1:{new_key()},k1:{new_key()}", "same name"),
        (f"a.b:{new_key()}", "must be letters"),
    ],
    ids=range(6),
)
def test_a_malformed_key_ring_is_refused_without_quoting_a_key(text, message):
    with pytest.raises(ValueError, match=message) as refused:
        Keyring.parse(text)
    assert not any(part and part in str(refused.value) for part in text.partition(":")[2:])
