from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.access.policy import Action, Allowed, Denied, decide, require
from graticule.domain.errors import EditionForbids, Forbidden
from graticule.domain.tenancy import ALL_SCOPES, Edition, Principal, Role, Scope
from support.principals import ANA, BEN

READS = {
    Action.LIST_CATALOGS,
    Action.READ_CATALOG,
    Action.USE_INTEGRATIONS,
    Action.BROWSE_STORAGE,
}
principals = st.builds(
    Principal,
    organisation_id=st.just("o"),
    member_id=st.just("m"),
    name=st.just("n"),
    edition=st.sampled_from(Edition),
    role=st.sampled_from(Role),
    scopes=st.frozensets(st.sampled_from(Scope)),
    key_id=st.just("k"),
)


def allowed(principal):
    return {action for action in Action if decide(principal, action) == Allowed()}


def test_an_admin_may_do_everything_with_all_scopes():
    assert allowed(ANA) == set(Action)


def test_a_user_uses_catalogs_and_manages_nothing_but_its_account_and_what_is_its_own():
    assert allowed(BEN) == READS | {
        Action.WRITE_CATALOG,
        Action.MANAGE_OWN_ACCOUNT,
        Action.MANAGE_GRANTS,
    }


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ({Scope.READ}, READS),
        ({Scope.WRITE}, READS | {Action.WRITE_CATALOG}),
        (
            {Scope.MANAGE},
            set(Action) - {Action.READ_CATALOG, Action.WRITE_CATALOG, Action.BROWSE_STORAGE},
        ),
        (set(), set()),
        (ALL_SCOPES, set(Action)),
    ],
)
def test_scopes_narrow_what_an_admin_may_do(scopes, expected):
    assert allowed(replace(ANA, scopes=frozenset(scopes))) == expected


@given(principals, st.sampled_from(Scope))
def test_a_scope_taken_away_never_allows_more(principal, scope):
    fewer = replace(principal, scopes=principal.scopes - {scope})

    assert allowed(fewer) <= allowed(principal)


@given(principals)
def test_no_scope_lifts_a_user_above_its_role(principal):
    assert allowed(replace(principal, role=Role.USER)) <= allowed(BEN)


def test_a_community_organisation_may_do_all_but_create_integrations():
    community = replace(ANA, edition=Edition.COMMUNITY)

    assert allowed(community) == set(Action) - {Action.CREATE_INTEGRATIONS}
    with pytest.raises(EditionForbids, match="community edition does not include"):
        require(community, Action.CREATE_INTEGRATIONS)


def test_a_denial_says_whether_role_or_scope_is_in_the_way():
    reader = replace(ANA, scopes=frozenset({Scope.READ}))

    assert decide(BEN, Action.MANAGE_KEYS) == Denied(
        "members with the role user may not manage API keys of others; ask an admin", "role"
    )
    assert decide(reader, Action.WRITE_CATALOG) == Denied(
        "a credential with read may not change namespaces and tables; use one with more scopes",
        "scope",
    )
    with pytest.raises(Forbidden, match="ask an admin"):
        require(BEN, Action.MANAGE_KEYS)
