"""Which names a catalog's tables and views have already, and whose they are.  Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from graticule.discovery.names import TableName
from graticule.domain.identifiers import Namespace, TableIdentifier

DEFAULT_NAMESPACE: Final = Namespace(("default",))
"""For what lies at the top of what was scanned."""


@dataclass(frozen=True, slots=True)
class NamesInUse:
    """`names` are of everything in the catalog; `by_source` are the tables that were made of what
    lies in the bucket, by each of the places they read, as URIs.
    """

    bucket: str = ""
    names: frozenset[TableIdentifier] = frozenset()
    by_source: Mapping[str, TableIdentifier] = field(default_factory=dict)

    def is_taken(self, name: TableName, sources: Sequence[str]) -> bool:
        """True if something else than the table over these sources has the name."""
        identifier = TableIdentifier(namespace_of(name), name.name)
        return identifier in self.names and identifier != self.of_sources(sources)

    def of_sources(self, sources: Sequence[str]) -> TableIdentifier | None:
        """The table that reads any of these places of the bucket already."""
        for source in sources:
            known = self.by_source.get(f"s3://{self.bucket}/{source}")
            if known is not None:
                return known
        return None

    def fits(self, report: Mapping[str, Any]) -> bool:
        """True if no table that an earlier scan proposed has a name that was taken since."""
        return not any(
            self.is_taken(TableName(table["namespace"], table["name"]), table["sources"])
            for table in report["tables"]
        )


def namespace_of(name: TableName) -> Namespace:
    """Where a table is proposed to be."""
    return Namespace((name.namespace,)) if name.namespace else DEFAULT_NAMESPACE


NOTHING_IN_USE: Final = NamesInUse()
