"""Why a member may, or may not, do something: the facts that decide, in the order they are asked.

Pure, and made of the very rules that decide: `access.policy` and `access.grants`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from graticule.access.grants import highest, sees_everything
from graticule.access.policy import Action, Denied, decide
from graticule.domain.grants import Grant, GranteeKind, Privilege, Securable
from graticule.domain.tenancy import ALL_SCOPES, Principal

FactKind = Literal["role", "scope", "edition", "grant"]

ACTION_OF: Final = {
    Privilege.BROWSE: Action.READ_CATALOG,
    Privilege.READ: Action.READ_CATALOG,
    Privilege.WRITE: Action.WRITE_CATALOG,
    Privilege.MANAGE: Action.WRITE_CATALOG,
}
"""What a member's role and a credential's scopes must allow for a privilege to be of use."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`allows`: whether this fact speaks for it; `grant` is the row, where it is one."""

    kind: FactKind
    allows: bool
    detail: str
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    allowed: bool
    privilege: Privilege | None
    """Held on the object, whatever a credential makes of it; None without an object."""
    facts: Sequence[Fact]


def explain_action(principal: Principal, action: Action, *, knows_scopes: bool) -> Explanation:
    """Why an action is or is not allowed that concerns no object.

    `knows_scopes`: the principal is who asks; of another member no credential is looked at.
    """
    facts = list(_facts_of(principal, action, knows_scopes=knows_scopes))
    return Explanation(all(fact.allows for fact in facts), None, facts)


def explain_privilege(
    principal: Principal,
    needed: Privilege,
    on: Securable,
    reaching: Sequence[Grant],
    *,
    knows_scopes: bool,
) -> Explanation:
    """Why a privilege on an object is or is not the principal's.

    `reaching` are all grants to it, its roles and everyone, on the object and what it lies in.
    """
    facts = list(_facts_of(principal, ACTION_OF[needed], knows_scopes=knows_scopes))
    barred = not all(fact.allows for fact in facts)
    if sees_everything(principal):
        facts.append(Fact("grant", True, f"admins hold every privilege on {on}, without any grant"))
        return Explanation(not barred, Privilege.MANAGE, facts)
    facts += [_fact_of(grant, on, needed) for grant in reaching]
    held = highest(grant.privilege for grant in reaching)
    holds = held is not None and held >= needed
    if not holds:
        has = f"only {held}" if held is not None else "nothing"
        facts.append(
            Fact(
                "grant",
                False,
                f"grants give `{principal.name}` {has} on {on}, and {needed} is needed",
            )
        )
    return Explanation(holds and not barred, held, facts)


def _facts_of(principal: Principal, action: Action, *, knows_scopes: bool) -> Iterator[Fact]:
    """Role, scopes and edition: what `access.policy` asks for."""
    by_role = decide(replace(principal, scopes=ALL_SCOPES), action)
    role_bars = isinstance(by_role, Denied) and by_role.by == "role"
    may = "may not" if role_bars else "may"
    yield Fact(
        "role",
        not role_bars,
        f"`{principal.name}` has the role {principal.role}, which {may} {action}",
    )
    if knows_scopes and not role_bars:
        by_scope = decide(principal, action)
        scope_bars = isinstance(by_scope, Denied) and by_scope.by == "scope"
        has = " and ".join(sorted(principal.scopes)) or "no scope"
        may = "may not" if scope_bars else "may"
        yield Fact("scope", not scope_bars, f"this credential has {has} and {may} {action}")
    if isinstance(by_role, Denied) and by_role.by == "edition":
        yield Fact("edition", False, by_role.reason)


def _fact_of(grant: Grant, on: Securable, needed: Privilege) -> Fact:
    to = "" if grant.grantee.kind is GranteeKind.MEMBER else f"the role `{grant.grantee.name}` has "
    inherited = "" if grant.on.id == on.id else f", which reaches down to {on}"
    detail = f"{to}{grant.privilege} on {grant.on}, given by {grant.granted_by}{inherited}"
    return Fact("grant", grant.privilege >= needed, detail, grant)
