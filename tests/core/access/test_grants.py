from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.access.grants import (
    Standing,
    access_level,
    highest,
    paths_above,
    require,
    sees_everything,
)
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import Forbidden, NoSuchTable
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import Namespace
from graticule.domain.tenancy import ALL_SCOPES, Scope
from support.principals import ANA, BEN

privileges = st.sampled_from(Privilege)
held = st.none() | privileges
ABSENT = NoSuchTable("Table does not exist: a.t")


@given(held, st.booleans(), privileges)
def test_what_is_asked_is_allowed_hidden_or_missing_and_never_two_of_them(
    privilege, leads_on, needed
):
    standing = Standing(privilege, leads_on)
    if privilege is not None and privilege >= needed:
        require(standing, needed, what="table `a.t`", absent=ABSENT)
    elif privilege is None and not leads_on:
        with pytest.raises(NoSuchTable) as refused:
            require(standing, needed, what="table `a.t`", absent=ABSENT)
        assert refused.value is ABSENT
    else:
        with pytest.raises(Forbidden, match=f"lack the privilege {needed} on table `a.t`"):
            require(standing, needed, what="table `a.t`", absent=ABSENT)


@given(st.lists(held))
def test_the_highest_grant_counts_and_no_grant_takes_away(granted):
    best = highest(granted)

    assert best == max((p for p in granted if p is not None), default=None)
    for more in Privilege:
        assert highest([*granted, more]) >= (best or more)


def test_grants_reach_down_from_the_catalog_and_from_every_level():
    assert paths_above(None) == [""]
    assert paths_above(Namespace(("a", "b", "c"))) == ["", "a", "a\x1fb", "a\x1fb\x1fc"]


def test_only_admins_see_everything():
    assert (sees_everything(ANA), sees_everything(BEN)) == (True, False)


@pytest.mark.parametrize(
    ("scopes", "privilege", "level"),
    [
        (ALL_SCOPES, Privilege.MANAGE, AccessLevel.WRITE),
        ({Scope.WRITE}, Privilege.WRITE, AccessLevel.WRITE),
        ({Scope.WRITE}, Privilege.READ, AccessLevel.READ),
        ({Scope.READ}, Privilege.MANAGE, AccessLevel.READ),
        ({Scope.MANAGE}, Privilege.MANAGE, AccessLevel.READ),
        (ALL_SCOPES, None, AccessLevel.READ),
    ],
)
def test_vended_credentials_write_only_where_grant_and_scopes_both_say_so(scopes, privilege, level):
    assert access_level(replace(BEN, scopes=frozenset(scopes)), privilege) is level
