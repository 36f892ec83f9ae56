import pytest

from graticule.access.stage_tokens import LIFETIME_S, StagedTable, StageTokens
from graticule.domain.errors import Forbidden
from graticule.domain.location import Location

NOW_MS = 1_700_000_000_000
TOKENS = StageTokens(b"k" * 32)
STAGED = StagedTable("catalog-1", "ns.t", "ana", Location("lake", "catalog-1/t"))
SHOWN_FOR = {"catalog_id": "catalog-1", "identifier": "ns.t", "member_id": "ana"}


def test_a_token_gives_back_the_location_that_was_staged():
    token = TOKENS.issue(STAGED, now_ms=NOW_MS)
    late_ms = NOW_MS + LIFETIME_S * 1000 - 1
    assert TOKENS.location_of(token, **SHOWN_FOR, now_ms=late_ms) == STAGED.location


def test_an_expired_token_is_refused():
    token = TOKENS.issue(STAGED, now_ms=NOW_MS)
    with pytest.raises(Forbidden, match="expired"):
        TOKENS.location_of(token, **SHOWN_FOR, now_ms=NOW_MS + LIFETIME_S * 1000)


@pytest.mark.parametrize("other", ["catalog_id", "identifier", "member_id"])
def test_a_token_is_of_no_use_for_anything_else(other):
    token = TOKENS.issue(STAGED, now_ms=NOW_MS)
    with pytest.raises(Forbidden, match="another"):
        TOKENS.location_of(token, **{**SHOWN_FOR, other: "x"}, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", StageTokens(b"z" * 32).issue(STAGED, now_ms=NOW_MS)],
    ids=["empty", "short", "garbage", "another server's"],
)
def test_a_token_that_this_server_did_not_issue_is_refused(token):
    with pytest.raises(Forbidden, match="not one of this server"):
        TOKENS.location_of(token, **SHOWN_FOR, now_ms=NOW_MS)
