"""What grants allow a principal to do with one object.  Pure.

Grants only ever add: what counts is the highest one on the object, or on anything that it lies in,
to the member itself, to a role it has, or to everyone.  Admins hold every privilege on all that
their organisation has.  Scopes are not looked at here: `access.policy` asks for them first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from graticule.access.policy import Action, Allowed, decide
from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import Forbidden, NotFound
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import Namespace
from graticule.domain.tenancy import Principal, Role

CATALOG_PATH: Final = ""
"""The path of grants on a catalog itself, above those of its namespaces."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a principal stands towards an object.

    `leads_on`: something below is granted, so the name is seen on the way there, and only that.
    """

    privilege: Privilege | None
    leads_on: bool = False

    @property
    def is_visible(self) -> bool:
        return self.privilege is not None or self.leads_on

    def holds(self, needed: Privilege) -> bool:
        return self.privilege is not None and self.privilege >= needed


EVERYTHING: Final = Standing(Privilege.MANAGE)


def sees_everything(principal: Principal) -> bool:
    """Whether grants need not be asked: an admin, in its own organisation."""
    return principal.role is Role.ADMIN


def highest(privileges: Iterable[int | None]) -> Privilege | None:
    """The one that counts among those held on an object and on what it lies in."""
    held = [privilege for privilege in privileges if privilege is not None]
    return Privilege(max(held)) if held else None


def paths_above(namespace: Namespace | None) -> Sequence[str]:
    """Where grants that reach a namespace are: on the catalog, on each level, on itself."""
    levels = namespace.levels if namespace is not None else ()
    above = [Namespace(levels[:depth]).path for depth in range(1, len(levels) + 1)]
    return [CATALOG_PATH, *above]


def require(standing: Standing, needed: Privilege, *, what: str, absent: NotFound) -> None:
    """Refuse what the standing does not allow; what may not be known of is `absent`.

    Raises:
        NotFound: `absent` itself, the very answer for what is not there.
        Forbidden: it is seen, but not enough may be done with it.
    """
    if standing.holds(needed):
        return
    if not standing.is_visible:
        raise absent
    raise Forbidden(
        f"you lack the privilege {needed} on {what}; ask an admin, or whoever manages it, for it"
    )


def access_level(principal: Principal, privilege: Privilege | None) -> AccessLevel:
    """What a storage credential for a table may do, if the principal may read the table."""
    writes = privilege is not None and privilege >= Privilege.WRITE
    may_write = isinstance(decide(principal, Action.WRITE_CATALOG), Allowed)
    return AccessLevel.WRITE if writes and may_write else AccessLevel.READ
