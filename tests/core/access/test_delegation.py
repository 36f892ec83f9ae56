import pytest

from graticule.access.delegation import (
    Chosen,
    Delegation,
    Impossible,
    choose,
    parse_delegations,
)

VENDED, SIGNING = Delegation.VENDED_CREDENTIALS, Delegation.REMOTE_SIGNING
OBSTACLE = "the store issues none"


@pytest.mark.parametrize(
    ("accepted", "obstacle", "chosen"),
    [
        ("", None, None),
        ("", OBSTACLE, None),
        ("something-else", None, None),
        ("vended-credentials", None, VENDED),
        (" Vended-Credentials , other", None, VENDED),
        ("remote-signing", None, SIGNING),
        ("remote-signing", OBSTACLE, SIGNING),
        ("remote-signing,vended-credentials", None, VENDED),
        ("vended-credentials,remote-signing", OBSTACLE, SIGNING),
    ],
)
def test_credentials_are_vended_where_they_can_be_and_requests_signed_where_not(
    accepted, obstacle, chosen
):
    choice = choose(parse_delegations(accepted), obstacle=obstacle)
    assert isinstance(choice, Chosen)
    assert choice.delegation is chosen
    assert choice.reason


def test_a_client_that_accepts_only_what_cannot_be_is_told_why_and_the_way_out():
    choice = choose(frozenset({VENDED}), obstacle=OBSTACLE)
    assert isinstance(choice, Impossible)
    assert OBSTACLE in choice.reason
    assert "remote-signing" in choice.reason
