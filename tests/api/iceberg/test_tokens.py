"""`POST /v1/oauth/tokens`: access tokens for API keys, and new ones for old ones."""

import base64

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
    key = server.services.organisations._signing_key
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
    missing = client.post(URL, data={"grant_type": EXCHANGE})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_grant")
