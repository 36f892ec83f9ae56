"""Signing in with a browser over HTTP: cookies, pages, devices, and what other sites cannot do."""

import re
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx2
import pytest

from graticule.app import create_app
from graticule.domain.secret import Secret
from graticule.server import BackgroundServer
from graticule.settings import Settings
from graticule.wiring import open_services
from support.accounts import QUICK_HASHING

PASSWORD = "correct horse battery"
COOKIE = "__Host-graticule"
OURS = {"Sec-Fetch-Site": "same-origin", "X-Requested-By": "tests"}


def new_user(server):
    """A user of the default organisation with a password: its name."""
    name = f"u {uuid4().hex[:8]}"
    with server.http() as http:
        made = http.post("/api/v1/members", json={"name": name, "kind": "user"})
        link = http.post(f"/api/v1/members/{made.json()['id']}/password-link")
        assert (link.status_code, link.headers["cache-control"]) == (201, "no-store")
        token = link.json()["url"].rpartition("/")[2]
        form = {"password": PASSWORD, "again": PASSWORD}
        chosen = http.post(f"/auth/link/{token}", data=form, headers=OURS)
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/")
    return name


@pytest.fixture(scope="module")
def user(server):
    """One that the tests share: to hash a password takes a while."""
    return new_user(server)


@pytest.fixture
def browser(server):
    """A client without a credential, which keeps cookies by hand: httpx2 honours `Secure`."""
    with server.http() as client:
        del client.headers["Authorization"]
        yield client


def cookie_of(response):
    return response.headers["set-cookie"].partition(";")[0]


def sign_in(browser, name, password=PASSWORD, **headers):
    return browser.post(
        "/api/v1/session", json={"name": name, "password": password}, headers=headers
    )


@pytest.fixture
def session(server, user):
    """The header of a browser that is signed in."""
    member = server.services.members.show(server.services.authentication.of_first_admin(), user)
    new = server.services.sessions.begin(member, method="password")
    return {"Cookie": f"{COOKIE}={new.token.reveal()}"}


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(browser, user):
    answer = sign_in(browser, user)

    assert answer.status_code == 201
    name, _, rest = answer.headers["set-cookie"].partition("=")
    value, *attributes = rest.split("; ")
    assert name == COOKIE
    assert re.fullmatch(r"gses_[\w-]{43}", value)
    assert attributes == ["Path=/", "Max-Age=604800", "Secure", "HttpOnly", "SameSite=Lax"]
    assert value not in answer.text
    assert answer.json()["member"]["name"] == user


def test_a_session_acts_on_the_management_api_and_on_nothing_else(browser, user, session):
    me = browser.get("/api/v1/me", headers=session).json()

    assert (me["name"], me["credential"], me["key_id"]) == (user, "session", None)
    assert browser.get("/catalog/v1/config", headers=session).status_code == 401
    listed = browser.get("/api/v1/sessions", headers=session).json()["items"]
    assert set(listed[0]) == {"id", "method", "created_at", "last_seen_at", "expires_at"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Requested-By": "x"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site", "X-Requested-By": "x"},
        {"Sec-Fetch-Site": "same-site", "X-Requested-By": "x"},
        {"Sec-Fetch-Site": "none", "X-Requested-By": "x"},
        {"Origin": "https://evil.example", "X-Requested-By": "x"},
        {"Origin": "null", "X-Requested-By": "x"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "OURS", "X-Requested-By": "x"},
    ],
)
def test_a_change_by_session_that_another_site_may_have_made_is_refused(
    server, browser, session, headers
):
    headers = {name: server.url if value == "OURS" else value for name, value in headers.items()}
    refused = browser.post("/api/v1/keys", json={"name": "x"}, headers=session | headers)

    assert (refused.status_code, refused.json()["type"]) == (
        403,
        "urn:graticule:problem:cross-site",
    )
    assert browser.delete("/api/v1/session", headers=session | headers).status_code == 403


def test_a_change_by_our_own_pages_is_made(server, browser, session):
    for ours in (OURS, {"Origin": server.url, "X-Requested-By": "x"}):
        made = browser.post(
            "/api/v1/keys", json={"name": "mine", "scopes": ["read"]}, headers=session | ours
        )
        assert made.status_code == 201


def test_a_bearer_token_wins_over_a_cookie_and_needs_no_proof(server, http, session):
    me = http.get("/api/v1/me", headers=session).json()
    assert (me["name"], me["credential"]) == ("admin", "api_key")
    assert http.post("/api/v1/keys", json={"name": "x"}, headers=session).status_code == 201
    wrong = http.get("/api/v1/me", headers=session | {"Authorization": "Bearer x"})
    assert wrong.status_code == 401


def test_signing_out_ends_the_session_and_the_cookie(browser, session):
    ended = browser.delete("/api/v1/session", headers=session | OURS)

    assert ended.status_code == 204
    assert ended.headers["set-cookie"].startswith(f"{COOKIE}=; Path=/; Max-Age=0; Secure")
    assert browser.get("/api/v1/me", headers=session).status_code == 401


def test_without_a_session_there_is_none_to_sign_out_of(http):
    assert http.delete("/api/v1/session").status_code == 404
    assert http.delete("/api/v1/sessions/x").status_code == 404


def test_another_site_cannot_sign_a_browser_in_as_somebody(browser, user):
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert sign_in(browser, user, **headers).status_code == 403


def test_a_wrong_password_is_401_and_too_many_are_429_with_a_pause(browser):
    name = f"nobody {uuid4().hex[:8]}"
    answers = [sign_in(browser, name, "wrong") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert {answer.json()["detail"] for answer in answers[:5]} == {
        "the name or the password is wrong"
    }


def test_a_password_is_changed(server, browser):
    user = new_user(server)
    session = {"Cookie": cookie_of(sign_in(browser, user))}
    change = {"current_password": PASSWORD, "new_password": f"{PASSWORD} staple"}
    wrong = browser.post(
        "/api/v1/me/password", json=change | {"current_password": "x"}, headers=session | OURS
    )
    changed = browser.post("/api/v1/me/password", json=change, headers=session | OURS)

    assert (wrong.status_code, changed.status_code) == (403, 204)
    assert browser.get("/api/v1/me", headers=session).status_code == 200
    assert sign_in(browser, user).status_code == 401
    assert sign_in(browser, user, change["new_password"]).status_code == 201


# Pages


def fields(page):
    return dict(re.findall(r'<input[^>]*name="(\w+)" value="([^"]*)"', page.text))


def test_every_page_says_what_it_may_load_and_runs_no_script(browser):
    for path in ("/auth/login", "/auth/link/x"):
        page = browser.get(path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "script" not in page.text
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"


def test_the_sign_in_page_signs_in_and_goes_on(browser, user):
    page = browser.get("/auth/login?return_to=/auth/device")
    form = fields(page) | {"name": user, "password": PASSWORD}
    wrong = browser.post("/auth/login", data=form | {"password": "<wrong>"}, headers=OURS)
    foreign = browser.post("/auth/login", data=form, headers={"Origin": "https://evil.example"})
    silent = browser.post("/auth/login", data=form)
    signed_in = browser.post("/auth/login", data=form, headers=OURS)

    assert (wrong.status_code, foreign.status_code, silent.status_code) == (401, 403, 403)
    assert "set-cookie" not in wrong.headers | foreign.headers | silent.headers
    assert fields(wrong)["return_to"] == "/auth/device"
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/auth/device")
    session = {"Cookie": cookie_of(signed_in)}
    assert browser.get("/api/v1/me", headers=session).json()["name"] == user


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\evil", "evil", "/a\nb", ""],
)
def test_signing_in_never_leads_to_another_site(browser, user, elsewhere):
    form = {"name": user, "password": PASSWORD, "return_to": elsewhere}
    assert browser.post("/auth/login", data=form, headers=OURS).headers["location"] == "/"


def test_what_a_page_shows_is_escaped(browser, http):
    form = {"name": '"><script>alert(1)</script>', "password": "x"}
    assert "<script" not in browser.post("/auth/login", data=form, headers=OURS).text


def test_a_link_shows_whose_it_is_works_once_and_tells_when_it_does_not(browser, http):
    name = f"<b> {uuid4().hex[:8]}"
    made = http.post("/api/v1/members", json={"name": name, "kind": "user"}).json()
    link = urlsplit(http.post(f"/api/v1/members/{made['id']}/password-link").json()["url"]).path
    shown = browser.get(link)
    assert shown.status_code == 200
    assert f"&lt;b&gt; {name[4:]}" in shown.text

    differ = {"password": PASSWORD, "again": "another"}
    short = {"password": "short", "again": "short"}
    good = {"password": PASSWORD, "again": PASSWORD}
    assert browser.post(link, data=differ, headers=OURS).status_code == 400
    assert browser.post(link, data=short, headers=OURS).status_code == 400
    assert browser.post(link, data=good, headers={"Origin": "null"}).status_code == 403
    chosen = browser.post(link, data=good, headers=OURS)
    assert chosen.status_code == 303
    session = {"Cookie": cookie_of(chosen)}
    assert browser.get("/api/v1/me", headers=session).json()["name"] == name
    assert browser.post(link, data=good, headers=OURS).status_code == 404
    assert browser.get(link).status_code == 404


def test_a_service_account_gets_no_link(http):
    made = http.post("/api/v1/members", json={"name": f"job {uuid4().hex[:8]}"}).json()
    assert http.post(f"/api/v1/members/{made['id']}/password-link").status_code == 409


# Devices


@pytest.fixture
def device(browser):
    started = browser.post("/api/v1/device", json={"name": "a <laptop>"})
    assert started.status_code == 200
    return started.json()


def poll(browser, device):
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": device["device_code"],
    }
    return browser.post("/api/v1/device/token", data=form)


def test_a_device_is_let_in_on_its_page_by_who_signs_in_there(browser, user, device):
    page = urlsplit(device["verification_uri_complete"])
    assert poll(browser, device).json()["error"] == "authorization_pending"
    assert poll(browser, device).json()["error"] == "slow_down"

    sent_on = browser.get(f"{page.path}?{page.query}")
    assert sent_on.status_code == 303
    back = parse_qs(urlsplit(sent_on.headers["location"]).query)["return_to"][0]
    form = {"name": user, "password": PASSWORD, "return_to": back}
    signed_in = browser.post("/auth/login", data=form, headers=OURS)
    session = {"Cookie": cookie_of(signed_in)}
    asked = browser.get(signed_in.headers["location"], headers=session)
    assert "a &lt;laptop&gt;" in asked.text
    assert device["user_code"] in asked.text
    decision = fields(asked) | {"decision": "approve"}
    foreign = browser.post(page.path, data=decision, headers=session | {"Origin": "null"})
    assert foreign.status_code == 403
    assert browser.post(page.path, data=decision, headers=session | OURS).status_code == 200

    token = poll(browser, device).json()["access_token"]
    me = browser.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert (me["name"], me["credential"]) == (user, "api_key")
    used = poll(browser, device)
    assert (used.status_code, used.json()["error"]) == (400, "expired_token")


def test_a_device_is_shown_and_decided_by_the_api_as_well(browser, http, device):
    url = f"/api/v1/device/{device['user_code']}"
    assert http.get(url).json() == {"user_code": device["user_code"], "name": "a <laptop>"}
    assert http.post(url, json={"approve": False}).status_code == 204
    refused = poll(browser, device)
    assert (refused.status_code, refused.json()["error"]) == (400, "access_denied")
    assert http.get(url).status_code == 404
    assert browser.get(url).status_code == 401


def test_a_code_that_nobody_waits_with_is_asked_for_again(browser, session):
    for path in ("/auth/device", "/auth/device?code=XXXX-XXXX"):
        page = browser.get(path, headers=session)
        assert 'name="code"' in page.text
    assert page.status_code == 404


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "invalid_request"),
    ],
)
def test_a_poll_that_says_nothing_is_refused_as_oauth_does(browser, form, error):
    refused = browser.post("/api/v1/device/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, error)


# How it is reached


def test_over_plain_http_on_a_host_name_signing_in_says_what_to_do(server, browser, user):
    for send in (
        lambda: browser.get("/auth/login", headers={"Host": "maps.example"}),
        lambda: sign_in(browser, user, Host="maps.example"),
    ):
        refused = send()
        assert refused.status_code == 400
        assert "GRATICULE_INSECURE_HTTP" in refused.text


@pytest.fixture(scope="module")
def other_serving(tmp_path_factory):
    """Starts servers with other settings, without a store."""

    @contextmanager
    def serve(**settings):
        configured = Settings(
            data_dir=tmp_path_factory.mktemp("server"), log_level="warning", **settings
        )
        services = open_services(configured)
        services.organisations.bootstrap_with_password(
            name="default", admin="Ana", password_hash=lambda: QUICK_HASHING.hash(Secret(PASSWORD))
        )
        with (
            BackgroundServer(create_app(services, configured)) as running,
            httpx2.Client(base_url=running.url) as client,
        ):
            yield client

    return serve


def test_a_lab_may_do_without_tls_and_checks_the_origin_all_the_same(other_serving):
    with other_serving(insecure_http=True) as client:
        host = {"Host": "catalog.test"}
        body = {"name": "Ana", "password": PASSWORD}
        answer = client.post("/api/v1/session", json=body, headers=host)
        assert answer.headers["set-cookie"].startswith("graticule=gses_")
        assert "Secure" not in answer.headers["set-cookie"]
        session = host | {"Cookie": cookie_of(answer), "X-Requested-By": "x"}
        for origin, status in (("http://catalog.test", 201), ("http://evil.test", 403)):
            made = client.post(
                "/api/v1/keys", json={"name": "x"}, headers=session | {"Origin": origin}
            )
            assert made.status_code == status
        assert "plain HTTP" in client.get("/auth/login", headers=host).text


def test_behind_a_proxy_the_public_url_counts(other_serving):
    with other_serving(public_url="https://maps.example") as client:
        body = {"name": "Ana", "password": PASSWORD}
        ours = {"Origin": "https://maps.example", "X-Requested-By": "x"}
        answer = client.post("/api/v1/session", json=body, headers=ours)
        assert answer.status_code == 201
        session = {"Cookie": cookie_of(answer)}
        made = client.post("/api/v1/keys", json={"name": "x"}, headers=session | ours)
        assert made.status_code == 201
        started = client.post("/api/v1/device", json={}).json()
        assert started["verification_uri"] == "https://maps.example/auth/device"


def test_without_authentication_this_machine_is_admin_and_other_sites_are_not(other_serving):
    with other_serving(insecure_no_auth=True) as client:
        for headers in ({}, {"Authorization": "Bearer None"}, {"Sec-Fetch-Site": "none"}):
            me = client.get("/api/v1/me", headers=headers).json()
            assert (me["name"], me["role"], me["credential"]) == ("Ana", "admin", "nothing")
        assert client.get("/catalog/v1/config?warehouse=x").status_code == 404
        for headers in (
            {"Host": "rebound.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
        ):
            refused = client.post("/api/v1/keys", json={"name": "x"}, headers=headers)
            assert refused.status_code == 403
        assert client.post("/api/v1/keys", json={"name": "x"}).status_code == 201
