"""Tokens of identity providers: which are accepted, as whom, and what becomes of old ones."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from graticule.access.tokens import CLOCK_SKEW_MS
from graticule.db.engine import read
from graticule.domain.errors import (
    AlreadyExists,
    Forbidden,
    InvalidGrant,
    InvalidRequest,
    NoSuchIssuer,
    Unauthenticated,
    Unavailable,
)
from graticule.domain.secret import Secret
from graticule.domain.tenancy import (
    ALL_SCOPES,
    CredentialKind,
    Edition,
    MemberKind,
    Role,
    Scope,
)
from graticule.services.accounts.authentication import PRINCIPAL_CACHE_MS
from graticule.services.accounts.issuer_documents import COOL_DOWN_MS, FRESH_MS, STALE_MS
from support.accounts import process
from support.oidc import AUDIENCE, providing


@pytest.fixture
def provider(provider, clock):
    provider.now_s = clock() / 1000
    return provider


@pytest.fixture
def trust(accounts, admin, provider):
    """Trusts the provider."""

    def create(**settings):
        usual = {
            "name": "idp",
            "url": provider.url,
            "audiences": [AUDIENCE],
            "organisation": "default",
            "auto_provision": True,
        }
        return accounts.issuers.create(**(usual | settings))

    return create


def of(accounts, token):
    return accounts.authentication.of_bearer(token)


def test_somebody_new_becomes_a_member_of_the_issuers_organisation(
    accounts, admin, provider, trust
):
    trust()
    provider.person = {"sub": "ana-1", "preferred_username": "Ana", "scope": "openid read x"}

    ana = of(accounts, provider.token())

    assert (ana.name, ana.role, ana.scopes, ana.credential, ana.key_id, ana.organisation_id) == (
        "Ana",
        Role.USER,
        {Scope.READ},
        CredentialKind.ISSUER_TOKEN,
        "idp",
        admin.organisation_id,
    )
    provider.person = {"sub": "ana-1", "preferred_username": "Ana Maria"}
    again = of(accounts, provider.token())
    assert (again.member_id, again.name, again.scopes) == (ana.member_id, "Ana", ALL_SCOPES)
    assert accounts.members.show(admin, ana.member_id).kind is MemberKind.USER


def test_a_name_at_the_issuer_is_no_proof_of_being_the_member_of_that_name(
    accounts, admin, provider, trust
):
    trust()
    provider.person = {"sub": "eve-1", "preferred_username": "admin"}

    eve = of(accounts, provider.token())

    assert eve.member_id != admin.member_id
    assert (eve.name, eve.role) == ("admin (idp eve-1)", Role.USER)


def test_without_provisioning_an_admin_links_whom_it_knows(accounts, admin, provider, trust, clock):
    trust(auto_provision=False)
    with pytest.raises(Unauthenticated, match="`ana-1` of `idp`"):
        of(accounts, provider.token())
    ben = accounts.members.create(admin, name="Ben", kind=MemberKind.USER, role=Role.USER)
    accounts.issuers.link(admin, "Ben", issuer="idp", subject="ana-1")

    assert of(accounts, provider.token()).member_id == ben.id
    assert accounts.issuers.identities_of(admin, "Ben") == [("idp", "ana-1")]
    with pytest.raises(AlreadyExists):
        accounts.issuers.link(admin, "admin", issuer="idp", subject="ana-1")
    with pytest.raises(Forbidden):
        accounts.issuers.link(of(accounts, provider.token()), "Ben", issuer="idp", subject="x")
    accounts.issuers.unlink(admin, "Ben", issuer="idp")
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    with pytest.raises(Unauthenticated):
        of(accounts, provider.token())
    with pytest.raises(NoSuchIssuer):
        accounts.issuers.unlink(admin, "Ben", issuer="idp")


# What is refused


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unsigned(provider):
    header = b64(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header}.{b64(json.dumps(provider.claims()).encode())}."


def signed_with_the_public_key(provider):
    """HS256, with the PEM of the RSA key that everybody may read as its secret."""
    [(kid, key)] = provider.keys.items()
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    body = f"{header}.{b64(json.dumps(provider.claims()).encode())}"
    return f"{body}.{b64(hmac.digest(pem, body.encode(), hashlib.sha256))}"


def signed_by_another(provider):
    kid = next(iter(provider.keys))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(provider.claims(), other, algorithm="RS256", headers={"kid": kid})


def with_its_own_key(provider):
    """The header brings a key along, and a place to fetch one from."""
    other = ec.generate_private_key(ec.SECP256R1())
    headers = {
        "kid": "mine",
        "jku": "http://169.254.169.254/",
        "jwk": provider._jwk("mine", other),
    }
    return jwt.encode(provider.claims(), other, algorithm="ES256", headers=headers)


def tampered(provider):
    header, _, signature = provider.token().split(".")
    return f"{header}.{b64(json.dumps(provider.claims(sub='admin')).encode())}.{signature}"


WRONG = {
    "unsigned": unsigned,
    "key confusion": signed_with_the_public_key,
    "forged": signed_by_another,
    "own key": with_its_own_key,
    "tampered": tampered,
    "other issuer": lambda p: p.token(iss="https://evil.example"),
    "issuer with a slash": lambda p: p.token(iss=f"{p.url}/"),
    "our own name": lambda p: p.token(iss="graticule"),
    "no issuer": lambda p: p.token(iss=...),
    "wrong audience": lambda p: p.token(aud="https://other.example"),
    "one of many audiences": lambda p: p.token(aud=["a", "b"]),
    "no audience": lambda p: p.token(aud=...),
    "no subject": lambda p: p.token(sub=...),
    "empty subject": lambda p: p.token(sub=""),
    "endless subject": lambda p: p.token(sub="x" * 256),
    "no end": lambda p: p.token(exp=...),
    "no beginning": lambda p: p.token(iat=...),
    "expired": lambda p: p.token(exp=int(p.now_s) - CLOCK_SKEW_MS // 1000),
    "of tomorrow": lambda p: p.token(nbf=int(p.now_s) + 86_400),
    "from the future": lambda p: p.token(iat=int(p.now_s) + CLOCK_SKEW_MS // 1000 + 1),
    "end is true": lambda p: p.token(exp=True),
    "end is endless": lambda p: p.token(exp=1e300),
    "critical extension": lambda p: p.token(headers={"crit": ["b64"]}),
    "unknown key": lambda p: p.token(headers={"kid": "unknown"}),
    "no token": lambda _p: "a.b.c",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_token_that_is_not_the_issuers_for_us_and_now_is_refused(
    accounts, provider, trust, wrong
):
    provider.rotate(kind="RSA")
    trust()
    assert of(accounts, provider.token()).name
    token = WRONG[wrong](provider)
    with pytest.raises(Unauthenticated):
        of(accounts, token)
    with pytest.raises(InvalidGrant):
        accounts.access_tokens.exchange(token)


def test_clocks_may_differ_by_a_minute(accounts, provider, trust):
    trust()
    skew_s = CLOCK_SKEW_MS // 1000
    for changes in (
        {"exp": int(provider.now_s) - skew_s + 1},
        {"iat": int(provider.now_s) + skew_s},
    ):
        assert of(accounts, provider.token(**changes))


def test_nobodys_token_is_accepted_without_an_issuer(accounts, admin, provider):
    with pytest.raises(Unauthenticated):
        of(accounts, provider.token())
    assert provider.asked == []


def test_a_deleted_issuers_tokens_are_refused_within_the_bound(
    accounts, admin, provider, trust, database, clock
):
    trust()
    other = process(database, clock)
    token = provider.token()
    exchanged, _ = accounts.access_tokens.exchange(token)
    assert of(other, token)
    accounts.issuers.delete("idp")
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    for process_ in (accounts, other):
        for presented in (token, exchanged):
            with pytest.raises(Unauthenticated):
                of(process_, presented)


# Keys


def test_keys_are_fetched_once_and_again_when_they_rotate(accounts, provider, trust, clock):
    trust()
    for _ in range(3):
        of(accounts, provider.token(jti=str(_)))
    assert provider.asked.count("/keys") == 1
    clock.advance(ms=COOL_DOWN_MS)
    provider.rotate(keep_old=True)
    of(accounts, provider.token())
    of(accounts, provider.token(jti="x"))
    assert provider.asked.count("/keys") == 2


def test_forged_key_ids_do_not_become_a_flood_of_requests(accounts, provider, trust, clock):
    trust()
    of(accounts, provider.token())
    clock.advance(ms=COOL_DOWN_MS)
    for number in range(20):
        with pytest.raises(Unauthenticated):
            of(accounts, provider.token(headers={"kid": f"forged {number}"}))
    assert provider.asked.count("/keys") == 2


def test_a_key_that_was_withdrawn_ends_with_the_documents_freshness(
    accounts, provider, trust, clock
):
    trust()
    token = provider.token(exp=int(provider.now_s) + 86_400)
    of(accounts, token)
    provider.rotate()
    clock.advance(ms=FRESH_MS)
    with pytest.raises(Unauthenticated):
        of(accounts, token)


def test_while_the_issuer_is_away_its_keys_are_used_for_a_day_and_it_is_asked_seldom(
    accounts, provider, trust, clock
):
    trust()
    token = provider.token(exp=int(provider.now_s) + 2 * 86_400)
    of(accounts, token)
    provider.answers["/.well-known/openid-configuration"] = 503
    clock.advance(ms=FRESH_MS)
    for _ in range(3):
        of(accounts, token)
        clock.advance(ms=PRINCIPAL_CACHE_MS)
    assert provider.asked.count("/.well-known/openid-configuration") == 2
    clock.advance(ms=STALE_MS)
    with pytest.raises(Unavailable, match="`idp` does not answer"):
        of(accounts, token)


@pytest.mark.parametrize(
    ("path", "answer", "says"),
    [
        ("/.well-known/openid-configuration", 302, "answered 302"),
        ("/.well-known/openid-configuration", {"issuer": "https://evil"}, "calls itself"),
        ("/.well-known/openid-configuration", ["no"], "no JSON object"),
        ("/keys", 302, "answered 302"),
        ("/keys", {"keys": 1}, "no key set"),
        ("/keys", {"keys": ["x" * 2_000_000]}, "no usable answer|longer than"),
    ],
)
def test_what_an_issuer_must_not_say_is_named(accounts, provider, trust, path, answer, says):
    trust()
    provider.answers[path] = answer
    with pytest.raises(Unavailable, match=says):
        accounts.issuers.check("idp")


def test_documents_that_lead_elsewhere_are_not_followed(accounts, provider, trust):
    trust()
    document = provider.get("/.well-known/openid-configuration", {})[1]
    for place in ("file:///etc/passwd", "javascript:x", "http://a\nb"):
        provider.answers["/.well-known/openid-configuration"] = document | {"jwks_uri": place}
        with pytest.raises(Unavailable, match="`jwks_uri`"):
            accounts.issuers.check("idp")


def test_keys_that_are_no_signing_keys_are_passed_over(accounts, provider, trust):
    trust()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed = [
        {"kty": "oct", "k": b64(b"secret" * 8), "kid": "oct"},
        provider._jwk("weak", weak),
        {**provider._jwk("enc", next(iter(provider.keys.values()))), "use": "enc"},
        {"kty": "RSA", "kid": "damaged", "n": "!", "e": "AQAB"},
        "nothing",
    ]
    provider.answers["/keys"] = {"keys": listed}
    assert len(accounts.issuers.check("idp").keys) == 0


# Roles and organisations


@pytest.fixture
def with_roles(trust):
    return trust(role_claim="realm.roles", admin_values=["gis-admin"], user_values=["gis"])


def roles(*values):
    return {"realm": {"roles": list(values)}}


def test_a_claim_gives_the_role_and_without_a_value_nobody_comes_in(accounts, provider, with_roles):
    assert of(accounts, provider.token(sub="a", **roles("x", "gis-admin"))).role is Role.ADMIN
    assert of(accounts, provider.token(sub="b", **roles("gis"))).role is Role.USER
    for claims in (roles("other"), roles(), {"realm": "gis"}, {"realm.roles": 7}, {}):
        with pytest.raises(Unauthenticated, match="no role here"):
            of(accounts, provider.token(sub="c", **claims))


def test_a_role_lost_at_the_issuer_is_not_brought_back_by_an_old_token(
    accounts, provider, with_roles, clock, database
):
    old = provider.token(**roles("gis-admin"))
    assert of(accounts, old).role is Role.ADMIN
    provider.now_s += 1
    assert of(accounts, provider.token(**roles("gis"))).role is Role.USER
    clock.advance(ms=PRINCIPAL_CACHE_MS)
    for process_ in (accounts, process(database, clock)):
        assert of(process_, old).role is Role.USER


def test_a_token_of_a_moment_as_admin_that_comes_late_is_not_believed_either(
    accounts, provider, with_roles
):
    """User, then admin (never seen here), then user again; then the one in between is replayed."""
    assert of(accounts, provider.token(**roles("gis"))).role is Role.USER
    provider.now_s += 1
    between = provider.token(**roles("gis-admin"))
    provider.now_s += 1
    assert of(accounts, provider.token(**roles("gis"))).role is Role.USER
    assert of(accounts, between).role is Role.USER


def test_a_role_taken_by_an_admin_here_stays_taken_for_tokens_from_before(
    accounts, admin, provider, with_roles, clock
):
    seen = provider.token(**roles("gis-admin"))
    ana = of(accounts, seen)
    provider.now_s += 1
    unseen = provider.token(**roles("gis-admin"))
    clock.advance(s=2)
    accounts.members.update(admin, ana.member_id, role=Role.USER)
    for token in (seen, unseen):
        assert of(accounts, token).role is Role.USER
    provider.now_s = clock() / 1000 + 1
    assert of(accounts, provider.token(**roles("gis-admin"))).role is Role.ADMIN


def test_a_token_never_acts_above_the_role_it_was_given_with(accounts, provider, with_roles):
    old = provider.token(**roles("gis"))
    provider.now_s += 1
    assert of(accounts, provider.token(**roles("gis-admin"))).role is Role.ADMIN
    assert of(accounts, old).role is Role.USER
    exchanged, _ = accounts.access_tokens.exchange(old)
    assert of(accounts, exchanged).role is Role.USER


def test_disabled_and_deleted_members_have_no_way_in(accounts, admin, provider, trust):
    trust(auto_provision=False)
    accounts.members.create(admin, name="Ben", kind=MemberKind.USER, role=Role.USER)
    accounts.issuers.link(admin, "Ben", issuer="idp", subject="ana-1")
    token = provider.token()
    exchanged, _ = accounts.access_tokens.exchange(token)
    accounts.members.update(admin, "Ben", is_disabled=True)
    for presented in (token, exchanged):
        with pytest.raises(Unauthenticated, match="disabled"):
            of(accounts, presented)
    accounts.members.delete(admin, "Ben")
    for presented in (token, exchanged):
        with pytest.raises(Unauthenticated):
            of(accounts, presented)


def test_a_claim_may_name_the_organisation(accounts, admin, provider, trust):
    name = "https://claims.example/org"
    trust(organisation_claim=name)
    other, _ = accounts.organisations.create("other", edition=Edition.COMMUNITY)

    there = of(accounts, provider.token(**{name: "other"}))
    here = of(accounts, provider.token(**{name: "default"}))

    assert (there.organisation_id, there.edition) == (other.id, Edition.COMMUNITY)
    assert here.organisation_id == admin.organisation_id
    for wrong in (
        {},
        {"https://claims.example/org": "nowhere"},
        {"https://claims.example/org": []},
    ):
        with pytest.raises(Unauthenticated):
            of(accounts, provider.token(**wrong))


def test_an_issuers_token_is_exchanged_for_one_that_ends_with_it(accounts, provider, trust):
    trust()
    exchanged, lifetime_s = accounts.access_tokens.exchange(provider.token(), "read")
    again, _ = accounts.access_tokens.exchange(exchanged)
    assert lifetime_s <= 600
    assert of(accounts, again).scopes == {Scope.READ}
    assert of(accounts, again).member_id == of(accounts, provider.token()).member_id


def test_two_issuers_with_equal_subjects_are_two_people(accounts, provider, trust, clock):
    trust()
    with providing() as second:
        second.now_s = clock() / 1000
        accounts.issuers.create(
            name="second",
            url=second.url,
            audiences=[AUDIENCE],
            organisation="default",
            auto_provision=True,
        )
        one, two = of(accounts, provider.token()), of(accounts, second.token())
        assert one.member_id != two.member_id
        with pytest.raises(Unauthenticated):  # signed by the one, in the name of the other
            of(accounts, second.token(iss=provider.url))


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://x"},
        {"url": "https://x/?a=b"},
        {"audiences": []},
        {"client_secret": Secret("x")},
        {"admin_values": ["x"]},
    ],
)
def test_an_issuer_that_makes_no_sense_is_refused(trust, settings):
    with pytest.raises(InvalidRequest):
        trust(**settings)


def test_an_issuer_is_configured_once_and_its_secret_is_sealed(accounts, trust, database):
    made = trust(client_id="c", client_secret=Secret("hunter2 hunter2"))
    with pytest.raises(AlreadyExists):
        trust()
    with pytest.raises(AlreadyExists):
        trust(name="other")
    assert accounts.issuers.list_all() == (made,)
    with read(database) as conn:
        assert "hunter2" not in repr(conn.exec_driver_sql("SELECT * FROM issuers").all())
    with pytest.raises(NoSuchIssuer):
        accounts.issuers.delete("nothing")
