"""Which proposals an admin wants, and under which names.  Pure.

A proposal is meant by its name, with the suggested namespace in front where that alone is not
clear: `roads`, or `de.roads`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from graticule.discovery.ignoring import NOTHING_IGNORED, Ignored
from graticule.discovery.names import flat_names
from graticule.discovery.names_in_use import namespace_of
from graticule.discovery.proposal import Confidence, ExistingProposal, Proposal, Proposals
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import Namespace, TableIdentifier

NAMES_SHOWN: Final = 10

AnyProposal = Proposal | ExistingProposal


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be registered.

    `names` are proposals, None for all that are at least as confident as `at_least`.  `renamed` are
    new names by proposal: a table name, or one with namespace levels in front.  `namespace` takes
    all tables that are not renamed into another; None leaves them where they were proposed.
    """

    names: Sequence[str] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    namespace: Namespace | None = None
    at_least: Confidence = Confidence.LOW
    ignored: Ignored = NOTHING_IGNORED


@dataclass(frozen=True, slots=True)
class Approved:
    proposal: AnyProposal
    identifier: TableIdentifier


def approve(proposals: Proposals, wish: Wish) -> list[Approved]:
    """The proposals that are wanted, in their order.

    Raises:
        InvalidRequest: a name that was not proposed, or that several proposals have; or two tables
            would get the same name.
        InvalidName: a new name is no legal name.
    """
    tables: list[AnyProposal] = [*proposals.tables, *proposals.existing]
    known = _by_name(tables)
    renamed = {id(_find(known, name)): new for name, new in wish.renamed.items()}
    if wish.names is None:
        wanted = [table for table in tables if table.confidence.is_at_least(wish.at_least)]
    else:
        named = {id(_find(known, name)) for name in wish.names}
        wanted = [table for table in tables if id(table) in named]
    wanted = [table for table in wanted if not _is_ignored(table, wish.ignored)]
    flat = flat_names([table.qualified_name for table in tables])
    approved = [
        Approved(
            table,
            _identifier(table, flat[table.qualified_name], wish.namespace, renamed.get(id(table))),
        )
        for table in wanted
    ]
    _refuse_rivals(approved)
    return approved


def _by_name(tables: Sequence[AnyProposal]) -> dict[str, list[AnyProposal]]:
    known: defaultdict[str, list[AnyProposal]] = defaultdict(list)
    for table in tables:
        for name in {table.name, str(table.qualified_name)}:
            known[name].append(table)
    return known


def _find(known: Mapping[str, Sequence[AnyProposal]], name: str) -> AnyProposal:
    found = known.get(name, [])
    if len(found) > 1:
        # A name without a namespace in front is also that of the one at the top.
        found = [table for table in found if str(table.qualified_name) == name] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"`{table.qualified_name}`" for table in found)
        raise InvalidRequest(f"`{name}` could be {names}; say which")
    proposed = sorted({str(each.qualified_name) for tables in known.values() for each in tables})
    shown = ", ".join(proposed[:NAMES_SHOWN]) or "nothing"
    more = f" and {len(proposed) - NAMES_SHOWN} more" if len(proposed) > NAMES_SHOWN else ""
    raise InvalidRequest(f"the scan did not propose `{name}`; it proposed {shown}{more}")


def _identifier(
    table: AnyProposal, flat_name: str, namespace: Namespace | None, renamed: str | None
) -> TableIdentifier:
    levels = (namespace or namespace_of(table.qualified_name)).levels
    if renamed is None:
        return TableIdentifier.of(levels, table.name if namespace is None else flat_name)
    *above, name = renamed.split(".")
    return TableIdentifier.of(above or levels, name)


def _is_ignored(table: AnyProposal, ignored: Ignored) -> bool:
    """True if all that the table is made of is ignored.

    Raises:
        InvalidRequest: some of its files are, and others are not.
    """
    if isinstance(table, ExistingProposal):
        return ignored.by(table.metadata_key) is not None
    if not ignored.patterns:
        return False
    hits = sum(ignored.by(file.key) is not None for file in table.files)
    if hits and hits < table.file_count:
        raise InvalidRequest(
            f"the patterns ignore {hits} of the {table.file_count} files of "
            f"`{table.qualified_name}`; scan again with them"
        )
    return bool(hits)


def _refuse_rivals(approved: Sequence[Approved]) -> None:
    seen: dict[TableIdentifier, AnyProposal] = {}
    for each in approved:
        other = seen.setdefault(each.identifier, each.proposal)
        if other is not each.proposal:
            raise InvalidRequest(
                f"`{other.qualified_name}` and `{each.proposal.qualified_name}` would both be "
                f"`{each.identifier}`; rename one of them"
            )
