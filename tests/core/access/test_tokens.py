import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.access import tokens
from graticule.access.tokens import Claims
from graticule.domain.errors import Unauthenticated
from graticule.domain.tenancy import ALL_SCOPES, Scope

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
NOW_MS = 1_790_000_000_000


def issued(**changes):
    arguments = {"now_ms": NOW_MS, "lifetime_s": 3600, "key": KEY, **changes}
    return tokens.issue("gk_a", frozenset({Scope.READ, Scope.WRITE}), **arguments)


def test_a_new_key_has_the_form_that_bearer_tokens_are_split_by():
    new = tokens.new_key()

    assert tokens.split_bearer_key(f"{new.client_id}.{new.client_secret.reveal()}") == (
        new.client_id,
        new.client_secret.reveal(),
    )
    assert new.credential == f"{new.client_id}:{new.client_secret.reveal()}"
    assert new.client_secret.reveal() not in repr(new)


def test_no_two_keys_are_alike():
    made = [tokens.new_key() for _ in range(100)]

    assert len({new.client_id for new in made}) == 100
    assert len({new.client_secret for new in made}) == 100


def test_only_the_secret_itself_matches_its_hash():
    secret = tokens.new_key().client_secret.reveal()
    stored = tokens.hash_secret(secret)

    assert tokens.secret_matches(secret, stored)
    assert not tokens.secret_matches(secret + "x", stored)
    assert not tokens.secret_matches(stored, stored)
    assert secret not in stored


@given(st.frozensets(st.sampled_from(Scope)), st.integers(60, 86_400))
def test_a_token_says_what_was_signed(scopes, lifetime_s):
    token = tokens.issue("gk_a", scopes, now_ms=NOW_MS, lifetime_s=lifetime_s, key=KEY)

    found = tokens.verify(token, now_ms=NOW_MS, keys=[OTHER_KEY, KEY])

    assert found == Claims("gk_a", scopes, NOW_MS + lifetime_s * 1000)


def test_a_token_ends_to_the_second():
    token = issued()

    tokens.verify(token, now_ms=NOW_MS + 3_599_999, keys=[KEY])
    with pytest.raises(Unauthenticated, match="has expired"):
        tokens.verify(token, now_ms=NOW_MS + 3_600_000, keys=[KEY])


def test_a_token_from_the_future_is_refused_beyond_the_skew_of_clocks():
    token = issued()

    tokens.verify(token, now_ms=NOW_MS - tokens.CLOCK_SKEW_MS, keys=[KEY])
    with pytest.raises(Unauthenticated, match="clocks"):
        tokens.verify(token, now_ms=NOW_MS - tokens.CLOCK_SKEW_MS - 1, keys=[KEY])


def _unsigned(token):
    claims = token.split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header.decode().rstrip('=')}.{claims}."


CLAIMS = {"iss": "graticule", "sub": "a", "scope": "read", "iat": 1, "exp": 9_999_999_999}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "None",
        "gk_a.gs_b",
        "a.b.c",
        issued(key=OTHER_KEY),
        issued()[:-2],
        _unsigned(issued()),
        jwt.encode({**CLAIMS, "iss": "another"}, KEY, algorithm="HS256"),
        jwt.encode({**CLAIMS, "scope": "root"}, KEY, algorithm="HS256"),
        jwt.encode({**CLAIMS, "exp": "soon"}, KEY, algorithm="HS256"),
        jwt.encode({k: v for k, v in CLAIMS.items() if k != "sub"}, KEY, algorithm="HS256"),
        jwt.encode({k: v for k, v in CLAIMS.items() if k != "exp"}, KEY, algorithm="HS256"),
        jwt.encode(CLAIMS, KEY + KEY, algorithm="HS512"),
    ],
)
def test_a_token_that_we_did_not_issue_is_refused(token):
    with pytest.raises(Unauthenticated):
        tokens.verify(token, now_ms=NOW_MS, keys=[KEY])


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (None, ALL_SCOPES),
        ("", ALL_SCOPES),
        ("catalog", ALL_SCOPES),
        ("PRINCIPAL_ROLE:ALL", ALL_SCOPES),
        ("sign", ALL_SCOPES),
        ("read", {Scope.READ}),
        ("catalog read write", {Scope.READ, Scope.WRITE}),
    ],
)
def test_foreign_words_in_a_scope_mean_everything_and_ours_narrow(requested, expected):
    assert tokens.parse_scopes(requested, ALL_SCOPES) == expected


@given(st.text(), st.frozensets(st.sampled_from(Scope)))
def test_no_request_widens_a_key(requested, granted):
    assert tokens.parse_scopes(requested, granted) <= granted
    assert tokens.parse_scopes("read write manage " + requested, granted) <= granted
