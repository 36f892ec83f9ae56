"""How requests name what can be granted: `catalog`, `catalog/namespace`, `catalog/namespace/table`.

Each part may be percent-encoded, as in a path; the levels of a namespace are joined by dots or by
0x1F.  A view is named like a table: they share one name space.
"""

from typing import Final
from urllib.parse import unquote

from graticule.api.endpoint import without_nul
from graticule.api.management.table_paths import NAMESPACE_DOT
from graticule.domain.errors import InvalidRequest
from graticule.domain.grants import ObjectName
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, Namespace, TableIdentifier

_FORM: Final = "`catalog`, `catalog/namespace` or `catalog/namespace/table`"


def parse_object(text: str) -> ObjectName:
    """The object that a text names.

    Raises:
        InvalidRequest: it has no such form, or a name breaks the naming rules.
    """
    try:
        parts = [without_nul(unquote(part, errors="strict")) for part in text.split("/", 2)]
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"`{text}` is not UTF-8") from error
    if not all(parts):
        raise InvalidRequest(f"an object is written {_FORM}, not `{text}`")
    catalog, *inner = parts
    if not inner:
        return ObjectName(catalog)
    levels = _levels(inner[0])
    if len(inner) == 1:
        return ObjectName(catalog, Namespace.of(levels))
    identifier = TableIdentifier.of(levels, inner[1])
    return ObjectName(catalog, identifier.namespace, identifier.name)


def _levels(text: str) -> list[str]:
    separator = NAMESPACE_SEPARATOR if NAMESPACE_SEPARATOR in text else NAMESPACE_DOT
    return text.removesuffix(NAMESPACE_SEPARATOR).split(separator)
