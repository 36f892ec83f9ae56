"""Passwords: the real hash, once, and what is not accepted as one."""

import pytest
from argon2 import PasswordHasher

from graticule.access.passwords import BYTES_MAX, PasswordHashing, check_password
from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret

GOOD = Secret("correct horse battery")


def test_a_password_is_hashed_with_argon2id_and_found_again():
    hashing = PasswordHashing()
    stored = hashing.hash(GOOD)

    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hashing.matches(GOOD, stored)
    assert not hashing.matches(Secret("correct horse batterx"), stored)
    assert not hashing.is_outdated(stored)


@pytest.fixture
def hashing():
    return PasswordHashing(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_nobodys_hash_matches_nothing(hashing):
    for text in ("", "nobody has this password", "x" * (BYTES_MAX + 1)):
        assert not hashing.matches(Secret(text), None)
    assert not hashing.matches(GOOD, "damaged")


def test_a_letter_written_in_two_ways_is_the_same_letter(hashing):
    assert hashing.matches(
        Secret("ana\u0301 l\u00f3pez 12"), hashing.hash(Secret("an\u00e1 lo\u0301pez 12"))
    )


def test_a_hash_made_with_less_work_is_outdated(hashing):
    assert PasswordHashing().is_outdated(hashing.hash(GOOD))


@pytest.mark.parametrize(
    "text", ["", "short", "e" * 12, "Administrator", "  administrator ", "x1" * BYTES_MAX]
)
def test_what_is_guessed_first_is_refused_and_not_quoted(text):
    with pytest.raises(InvalidRequest) as refused:
        check_password(Secret(text), name="administrator")
    assert not text.strip() or text.strip() not in refused.value.message


def test_a_long_sentence_is_welcome():
    check_password(GOOD, name="ana")
