"""The namespace, and the table in it, that a management path names."""

from typing import Final

from graticule.api.endpoint import Call
from graticule.domain.errors import InvalidName, NoSuchNamespace, NoSuchTable
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, Namespace, TableIdentifier

NAMESPACE_DOT: Final = "."
NAMESPACE: Final = "/catalogs/{catalog}/namespaces/{namespace}"
TABLE: Final = f"{NAMESPACE}/tables/{{table}}"


def namespace_of(call: Call) -> Namespace:
    """Levels are joined by 0x1F or by a dot.  Ending in 0x1F, it is one level with its dots.

    Raises:
        NoSuchNamespace: such a namespace cannot be.
    """
    text = call.name("namespace")
    separator = NAMESPACE_SEPARATOR if NAMESPACE_SEPARATOR in text else NAMESPACE_DOT
    try:
        return Namespace.of(text.removesuffix(NAMESPACE_SEPARATOR).split(separator))
    except InvalidName as error:
        raise NoSuchNamespace(f"Namespace does not exist: {text}") from error


def table_of(call: Call) -> TableIdentifier:
    """The table in that namespace.

    Raises:
        NoSuchTable: such a table cannot be.
    """
    try:
        return TableIdentifier.of(namespace_of(call).levels, call.name("table"))
    except (NoSuchNamespace, InvalidName) as error:
        text = f"{call.name('namespace')}.{call.name('table')}"
        raise NoSuchTable(f"Table does not exist: {text}") from error
