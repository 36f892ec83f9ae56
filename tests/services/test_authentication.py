"""Who a presented credential is, and what the token endpoint makes of it."""

import pytest

from graticule.access.keyring import Keyring
from graticule.domain.errors import InvalidClient, InvalidGrant, InvalidScope, Unauthenticated
from graticule.domain.tenancy import Scope
from support.accounts import RING, TOKEN_LIFETIME_S, bearer, process


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + "!", lambda t: t[:-1], lambda t: "gk_" + t])
def test_a_spoilt_key_is_refused(accounts, first_key, spoil):
    with pytest.raises(Unauthenticated):
        accounts.authentication.of_bearer(spoil(bearer(first_key)))


def test_a_wrong_secret_and_an_unknown_key_are_answered_alike(accounts, first_key):
    other = accounts.organisations.recover_admin()
    answers = set()
    for client_id in (first_key.client_id, "gk_aaaaaaaaaaaaaaaa"):
        with pytest.raises(Unauthenticated) as refused:
            accounts.authentication.of_bearer(f"{client_id}.{other.client_secret.reveal()}")
        answers.add(refused.value.message)
    assert len(answers) == 1


def test_client_credentials_become_an_access_token_for_the_same_principal(
    accounts, first_key, admin
):
    token, lifetime_s = accounts.access_tokens.issue(
        first_key.client_id, first_key.client_secret.reveal(), "catalog"
    )

    assert lifetime_s == TOKEN_LIFETIME_S
    assert accounts.authentication.of_bearer(token) == admin


def test_a_token_for_a_narrower_scope_stays_narrow_when_it_is_exchanged(accounts, first_key):
    token = accounts.token_of(first_key, "read")

    again, _ = accounts.access_tokens.exchange(token, "read write manage")

    assert accounts.authentication.of_bearer(again).scopes == {Scope.READ}


def test_the_token_endpoint_refuses_a_wrong_client(accounts, first_key):
    with pytest.raises(InvalidClient):
        accounts.access_tokens.issue(first_key.client_id, "wrong")
    with pytest.raises(InvalidClient):
        accounts.access_tokens.issue("nobody", first_key.client_secret.reveal())
    with pytest.raises(InvalidGrant):
        accounts.access_tokens.exchange("not a token")


def test_a_scope_the_key_does_not_have_is_not_granted(accounts, admin):
    reader = accounts.key_for(admin, scopes=[Scope.READ])

    with pytest.raises(InvalidScope, match="none of the scopes `manage`"):
        accounts.token_of(reader, "manage")


def test_tokens_expire_also_while_they_are_cached(accounts, first_key, clock):
    token = accounts.token_of(first_key)
    clock.advance(s=TOKEN_LIFETIME_S - 1)
    accounts.authentication.of_bearer(token)
    clock.advance(s=1)

    with pytest.raises(Unauthenticated, match="expired"):
        accounts.authentication.of_bearer(token)


def test_tokens_survive_a_rotation_of_keys(database, accounts, first_key, clock):
    token = accounts.token_of(first_key)
    rotated = Keyring.from_keys([("k2", b"n" * 32), *RING.keys])

    assert process(database, clock, rotated).authentication.of_bearer(token).name == "admin"
    stranger = process(database, clock, Keyring.from_keys([("k3", b"x" * 32)]))
    with pytest.raises(Unauthenticated):
        stranger.authentication.of_bearer(token)
