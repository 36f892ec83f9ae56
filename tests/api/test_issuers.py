"""Identity providers over HTTP: tokens on both surfaces, and signing in to a browser there."""

from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx2
import pytest

from graticule.domain.secret import Secret
from support.oidc import AUDIENCE, CLIENT_ID, CLIENT_SECRET, providing

OURS = {"Sec-Fetch-Site": "same-origin", "X-Requested-By": "tests"}


@pytest.fixture
def issuer(server):
    """A provider that the server trusts, and signs people in at: the provider, and its name."""
    with providing() as provider:
        name = f"idp {uuid4().hex[:8]}"
        server.services.issuers.create(
            name=name,
            url=provider.url,
            audiences=[AUDIENCE],
            client_id=CLIENT_ID,
            client_secret=Secret(CLIENT_SECRET),
            organisation="default",
            auto_provision=True,
        )
        provider.person = {"sub": uuid4().hex, "preferred_username": f"Ana {uuid4().hex[:8]}"}
        yield provider, name
        server.services.issuers.delete(name)


@pytest.fixture
def browser(server):
    with server.http() as client:
        del client.headers["Authorization"]
        yield client


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_token_of_a_trusted_issuer_opens_both_surfaces(browser, issuer, catalog):
    provider, _ = issuer
    token = provider.token()

    me = browser.get("/api/v1/me", headers=bearer(token)).json()
    listed = browser.get(f"{catalog.base}/namespaces", headers=bearer(token))

    assert (me["name"], me["role"], me["credential"]) == (
        provider.person["preferred_username"],
        "user",
        "issuer_token",
    )
    assert listed.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "https://other.example"},
        {"exp": 1},
        {"iat": 99_999_999_999},
        {"sub": ...},
    ],
)
def test_a_wrong_token_is_refused_on_both_surfaces_and_at_the_token_endpoint(
    browser, issuer, catalog, changes
):
    provider, _ = issuer
    token = provider.token(**changes)
    for path in ("/api/v1/me", f"{catalog.base}/namespaces"):
        refused = browser.get(path, headers=bearer(token))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }
    exchanged = browser.post("/catalog/v1/oauth/tokens", data=form)
    assert (exchanged.status_code, exchanged.json()["error"]) == (400, "invalid_grant")


def test_what_was_taken_is_refused_on_both_surfaces_at_once(browser, http, issuer, catalog):
    provider, _ = issuer
    token = provider.token()
    member = browser.get("/api/v1/me", headers=bearer(token)).json()["member_id"]
    made = http.post("/api/v1/keys", json={"name": "x", "member": member}).json()
    key = made["credential"].replace(":", ".")
    form = {
        "grant_type": "client_credentials",
        "client_id": made["client_id"],
        "client_secret": made["client_secret"],
    }
    own = browser.post("/catalog/v1/oauth/tokens", data=form).json()["access_token"]
    paths = ("/api/v1/me", f"{catalog.base}/namespaces")

    def answers():
        return {
            browser.get(path, headers=bearer(one)).status_code
            for path in paths
            for one in (token, key, own)
        }

    assert answers() == {200}
    http.patch(f"/api/v1/members/{member}", json={"disabled": True})
    assert answers() == {401}
    http.patch(f"/api/v1/members/{member}", json={"disabled": False, "role": "admin"})
    assert answers() == {200}
    assert browser.get("/api/v1/members", headers=bearer(own)).status_code == 200
    http.patch(f"/api/v1/members/{member}", json={"role": "user"})
    for one in (token, key, own):  # replayed after role loss
        assert browser.get("/api/v1/members", headers=bearer(one)).status_code == 403
    http.delete(f"/api/v1/members/{member}")
    assert {browser.get(path, headers=bearer(key)).status_code for path in paths} == {401}


def test_an_issuer_that_does_not_answer_is_503_and_no_verdict(browser, issuer):
    provider, _ = issuer
    provider.answers["/.well-known/openid-configuration"] = 503
    refused = browser.get("/api/v1/me", headers=bearer(provider.token()))
    assert refused.status_code == 503
    assert "retry-after" in refused.headers


# The code flow


def begin(browser, name, query=""):
    started = browser.get(f"/auth/login/{name}{query}")
    assert started.status_code == 303, started.text
    cookie = started.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("__Host-graticule-sign-in=")
    return started.headers["location"], {"Cookie": cookie}


def at_the_provider(location):
    """The browser follows to the provider, which sends it back: path and query of that."""
    back = httpx2.get(location)
    assert back.status_code == 302
    parts = urlsplit(back.headers["location"])
    return f"{parts.path}?{parts.query}"


def test_somebody_signs_in_at_a_provider_and_goes_on(server, browser, issuer):
    provider, name = issuer
    listed = browser.get("/api/v1/sign-in").json()["issuers"]
    assert {"name": name, "path": f"/auth/login/{name.replace(' ', '%20')}"} in listed
    assert f"Sign in with {name}" in browser.get("/auth/login").text

    location, cookie = begin(browser, name, "?return_to=/auth/device")
    asked = {key: value[0] for key, value in parse_qs(urlsplit(location).query).items()}
    assert asked["redirect_uri"] == f"{server.url}/auth/callback"
    assert asked["code_challenge_method"] == "S256"
    signed_in = browser.get(at_the_provider(location), headers=cookie)

    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/auth/device")
    forgotten, kept = signed_in.headers.get_list("set-cookie")
    assert forgotten.startswith("__Host-graticule-sign-in=; Path=/; Max-Age=0")
    session = {"Cookie": kept.partition(";")[0]}
    me = browser.get("/api/v1/me", headers=session).json()
    assert (me["name"], me["credential"]) == (provider.person["preferred_username"], "session")
    [one] = browser.get("/api/v1/sessions", headers=session).json()["items"]
    assert one["method"] == name


def test_the_answer_of_a_provider_counts_once(browser, issuer):
    _, name = issuer
    location, cookie = begin(browser, name)
    back = at_the_provider(location)
    assert browser.get(back, headers=cookie).status_code == 303
    assert browser.get(back, headers=cookie).status_code == 401


def test_another_browser_cannot_finish_a_sign_in(browser, issuer):
    """Otherwise a link could sign somebody in as the attacker."""
    _, name = issuer
    location, _ = begin(browser, name)
    back = at_the_provider(location)
    _, other_cookie = begin(browser, name)
    for headers in ({}, other_cookie, {"Cookie": "__Host-graticule-sign-in=v1.k1.AAAA"}):
        refused = browser.get(back, headers=headers)
        assert refused.status_code == 401
        assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("spoil", ["nonce", "audience", "error", "iss", "state", "token endpoint"])
def test_an_answer_that_is_not_right_signs_nobody_in(browser, issuer, spoil):
    provider, name = issuer
    location, cookie = begin(browser, name)
    back = at_the_provider(location)
    match spoil:
        case "nonce":
            provider.spoil_nonce = True
        case "audience":
            provider.answers["/token"] = {"id_token": provider.token()}
        case "error":
            state = parse_qs(urlsplit(back).query)["state"][0]
            back = f"/auth/callback?error=access_denied&state={state}"
        case "iss":
            back = back.replace(provider.url.replace(":", "%3A").replace("/", "%2F"), "https://x")
        case "state":
            back = back.replace("state=", "state=x")
        case "token endpoint":
            provider.answers["/token"] = 302
    refused = browser.get(back, headers=cookie)

    assert (refused.status_code, refused.headers["content-type"]) == (
        401,
        "text/html; charset=utf-8",
    )
    assert "set-cookie" not in refused.headers


def test_a_provider_that_is_not_there_is_404_as_a_page(browser):
    missing = browser.get("/auth/login/nothing")
    assert (missing.status_code, "no issuer is called" in missing.text) == (404, True)


def test_an_admin_links_and_unlinks_whom_it_knows(browser, http, issuer):
    provider, name = issuer
    made = http.post("/api/v1/members", json={"name": f"m {uuid4().hex[:8]}", "kind": "user"})
    url = f"/api/v1/members/{made.json()['id']}/identities"
    identity = {"issuer": name, "subject": provider.person["sub"]}

    assert http.post(url, json=identity).status_code == 201
    assert http.get(url).json() == {"items": [identity], "next": None}
    me = browser.get("/api/v1/me", headers=bearer(provider.token())).json()
    assert me["member_id"] == made.json()["id"]
    assert http.post(url, json=identity).status_code == 409
    assert http.delete(f"{url}/{name}").status_code == 204
    me = browser.get("/api/v1/me", headers=bearer(provider.token())).json()
    assert me["member_id"] != made.json()["id"]
    assert http.delete(f"{url}/{name}").status_code == 404
