"""`POST /v1/oauth/tokens`: access tokens for API keys, and new ones for old ones."""

import base64
from urllib.parse import quote

import pytest

from graticule.access import tokens
from graticule.domain.tenancy import ALL_SCOPES

URL = "/catalog/v1/oauth/tokens"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture
def client(server):
    with server.http() as client:
        del client.headers["Authorization"]
        yield client


@pytest.fixture
def credential(server):
    """Client id and secret."""
    client_id, _, secret = server.key.credential.partition(":")
    return client_id, secret


def basic(client_id, secret):
    return {"Authorization": f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


def exchange(client, subject, headers=None, **form):
    form = {
        "grant_type": EXCHANGE,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
    } | form
    return client.post(URL, data=form, headers=headers)


def works(server, token):
    with server.http() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        return client.get("/api/v1/me").status_code == 200


@pytest.fixture
def expired(server, credential):
    key = server.services.access_tokens._signing_key
    scopes = frozenset(tokens.parse_scopes("catalog", ALL_SCOPES))
    return tokens.issue(credential[0], scopes, now_ms=1_000, lifetime_s=1, key=key)


def test_a_secret_in_the_form_or_in_the_header_gives_a_token(server, client, credential):
    client_id, secret = credential
    form = {"grant_type": "client_credentials", "scope": "catalog"}
    by_form = client.post(URL, data={**form, "client_id": client_id, "client_secret": secret})
    by_header = client.post(URL, data=form, headers=basic(client_id, secret))
    for answer in (by_form, by_header):
        body = answer.json()
        assert works(server, body.pop("access_token"))
        assert body == {
            "token_type": "bearer",
            "expires_in": 3600,
            "issued_token_type": ACCESS_TOKEN,
        }


def test_a_token_is_exchanged_for_a_new_one(server, client, credential):
    form = {"grant_type": "client_credentials"}
    old = client.post(URL, data=form, headers=basic(*credential)).json()["access_token"]
    answer = exchange(client, old, {"Authorization": f"Bearer {old}"})
    assert works(server, answer.json()["access_token"])
    assert answer.json()["issued_token_type"] == ACCESS_TOKEN


def test_an_expired_token_is_exchanged_on_the_word_of_its_clients_secret(
    server, client, credential, expired
):
    """Java renews so after a pause: the old token, and the secret in a Basic header."""
    answer = exchange(client, expired, basic(*credential))
    assert answer.status_code == 200, answer.text
    assert works(server, answer.json()["access_token"])


def test_an_expired_token_alone_is_refused(client, credential, expired):
    for headers in (None, {"Authorization": f"Bearer {expired}"}):
        answer = exchange(client, expired, headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    wrong = exchange(client, expired, basic(credential[0], "gs_wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


def test_other_grants_and_missing_tokens_are_refused(client):
    password = client.post(URL, data={"grant_type": "password"})
    assert (password.status_code, password.json()["error"]) == (400, "unsupported_grant_type")
    for form in ({"grant_type": EXCHANGE}, {}, {"grant_type": ""}):
        missing = client.post(URL, data=form)
        assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


def test_a_client_may_percent_encode_what_it_sends_by_basic(server, client, credential):
    encoded = (quote(part, safe="").replace("_", "%5F") for part in credential)
    answer = client.post(URL, data={"grant_type": "client_credentials"}, headers=basic(*encoded))
    assert works(server, answer.json()["access_token"])


@pytest.mark.parametrize("header", ["Basic !", "Basic /w==", "Basic", "Basic YQ=="])
def test_a_basic_header_that_says_nothing_is_a_wrong_client(client, header):
    answer = client.post(
        URL, data={"grant_type": "client_credentials"}, headers={"Authorization": header}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == 'Basic realm="graticule"'


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("PRINCIPAL_ROLE:ALL", ["manage", "read", "write"]),
        ("catalog", ["manage", "read", "write"]),
        ("\u2603 %00; DROP", ["manage", "read", "write"]),
        ("catalog read", ["read"]),
    ],
)
def test_scopes_of_engines_mean_everything_and_ours_narrow(
    server, client, credential, scope, scopes
):
    form = {"grant_type": "client_credentials", "scope": scope}
    token = client.post(URL, data=form, headers=basic(*credential)).json()["access_token"]
    with server.http() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        assert http.get("/api/v1/me").json()["scopes"] == scopes


def test_a_scope_that_the_key_lacks_is_an_invalid_scope(client, http):
    made = http.post("/api/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()
    form = {"grant_type": "client_credentials", "scope": "manage"}
    answer = client.post(URL, data=form, headers=basic(made["client_id"], made["client_secret"]))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
