"""SQL functions as the server keeps them: a name in a namespace, and a metadata document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graticule.domain.identifiers import Namespace


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One function with all its definitions.  `version` grows with every change."""

    id: str
    catalog_id: str
    namespace_id: str
    namespace: Namespace
    name: str
    document: Mapping[str, Any]
    """Metadata as the specification has it."""
    version: int
    created_at_ms: int
    updated_at_ms: int

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"
