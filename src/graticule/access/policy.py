"""Who may do what at all.  Pure: a decision is a value with its reason.

A member's role says what it may do, a credential's scopes narrow that, and the organisation's
edition narrows it once more.  With which catalogs, namespaces and tables is a matter of grants:
`access.grants`, and the SQL in `db.grants`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from graticule.domain.errors import EditionForbids, Forbidden
from graticule.domain.tenancy import Edition, Principal, Role, Scope


class Action(StrEnum):
    """What a request does; the value reads as the end of "may not …"."""

    LIST_CATALOGS = "list catalogs"
    READ_CATALOG = "read catalogs"
    WRITE_CATALOG = "change namespaces and tables"
    MANAGE_CATALOGS = "create or delete catalogs"
    USE_INTEGRATIONS = "see storage integrations"
    BROWSE_STORAGE = "browse storage and download files"
    CREATE_INTEGRATIONS = "create storage integrations"
    MANAGE_INTEGRATIONS = "change, verify or delete storage integrations"
    SCAN_CATALOG = "scan storage and register what was found"
    MANAGE_OWN_ACCOUNT = "manage their own API keys"
    MANAGE_KEYS = "manage API keys of others"
    MANAGE_MEMBERS = "manage members"
    READ_AUDIT = "read the audit log"
    MANAGE_WEBHOOKS = "manage webhooks"
    MANAGE_GRANTS = "see or change grants"
    MANAGE_ROLES = "manage roles"
    MANAGE_JOBS = "see or cancel jobs"


@dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclass(frozen=True, slots=True)
class Denied:
    reason: str
    by: Literal["role", "scope", "edition"]


_READ: Final = frozenset(
    {
        Action.LIST_CATALOGS,
        Action.READ_CATALOG,
        Action.USE_INTEGRATIONS,
        Action.BROWSE_STORAGE,
    }
)

BY_ROLE: Final[Mapping[Role, frozenset[Action]]] = {
    # A user may grant what it manages: `access.grants` says what that is.
    Role.USER: _READ | {Action.WRITE_CATALOG, Action.MANAGE_OWN_ACCOUNT, Action.MANAGE_GRANTS},
    Role.ADMIN: frozenset(Action),
}

BY_SCOPE: Final[Mapping[Scope, frozenset[Action]]] = {
    Scope.READ: _READ,
    Scope.WRITE: _READ | {Action.WRITE_CATALOG},
    # Without reading: a key that sets things up need not be one that reads everything.
    Scope.MANAGE: frozenset(Action)
    - {Action.READ_CATALOG, Action.WRITE_CATALOG, Action.BROWSE_STORAGE},
}


def decide(principal: Principal, action: Action) -> Allowed | Denied:
    """Role first, then scopes, then edition: the first that refuses gives the reason."""
    if action not in BY_ROLE[principal.role]:
        return Denied(
            f"members with the role {principal.role} may not {action}; ask an admin", "role"
        )
    if not any(action in BY_SCOPE[scope] for scope in principal.scopes):
        has = " and ".join(sorted(principal.scopes)) or "no scope"
        return Denied(
            f"a credential with {has} may not {action}; use one with more scopes", "scope"
        )
    if action is Action.CREATE_INTEGRATIONS and principal.edition is Edition.COMMUNITY:
        return Denied(
            "the community edition does not include storage integrations; "
            "move the organisation to the professional or enterprise edition",
            "edition",
        )
    return Allowed()


def require(principal: Principal, action: Action) -> None:
    """Decide, and fail when denied.

    Raises:
        EditionForbids: the organisation's edition is what stands in the way.
        Forbidden: role or scopes are.
    """
    match decide(principal, action):
        case Denied(reason, "edition"):
            raise EditionForbids(reason)
        case Denied(reason, _):
            raise Forbidden(reason)
        case Allowed():
            return
