"""Reading the parts of Iceberg REST requests that many operations share."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from graticule.access.delegation import Delegations, parse_delegations
from graticule.api.endpoint import Call
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    InvalidName,
    InvalidRequest,
    NoSuchNamespace,
    NoSuchTable,
    NoSuchView,
)
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, Namespace, TableIdentifier
from graticule.services.pages import Page

Json = dict[str, Any]

PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_DIGITS_MAX: Final = 18
ACCESS_DELEGATION_HEADER: Final = "X-Iceberg-Access-Delegation"

_ENCODED_SEPARATOR: Final = re.compile("%1f", re.IGNORECASE)


def open_catalog(call: Call) -> OpenCatalog:
    """The catalog that the path's prefix names; without a prefix the only one there is."""
    if "prefix" in call.path:
        wanted = call.name("prefix")
    else:
        wanted = call.services.catalogs.resolve_warehouse(call.principal, None).id
    catalog: OpenCatalog = call.services.catalogs.open(call.principal, wanted)
    return catalog


def namespace_of(call: Call) -> Namespace:
    """The namespace in the path: levels joined by the encoded unit separator, each encoded.

    Raises:
        NoSuchNamespace: such a namespace cannot be, so it is not there either.
    """
    raw = call.path["namespace"]
    try:
        levels = [unquote_plus(level, errors="strict") for level in _ENCODED_SEPARATOR.split(raw)]
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"`{raw}` in the path is not UTF-8") from error
    try:
        return Namespace.of(levels)
    except InvalidName as error:
        raise NoSuchNamespace(f"Namespace does not exist: {'.'.join(levels)}") from error


def table_of(call: Call) -> TableIdentifier:
    """The table in the path.  A namespace that cannot be makes a table that is not there.

    Raises:
        NoSuchTable: clients look for just this when they try whether a table is there.
    """
    name = call.name("table")
    try:
        return TableIdentifier.of(namespace_of(call).levels, name)
    except (NoSuchNamespace, InvalidName) as error:
        raise NoSuchTable(f"Table does not exist: {name}") from error


def view_of(call: Call) -> TableIdentifier:
    """The view in the path.  A namespace that cannot be makes a view that is not there.

    Raises:
        NoSuchView: clients look for just this when they try whether a view is there.
    """
    name = call.name("view")
    try:
        return TableIdentifier.of(namespace_of(call).levels, name)
    except (NoSuchNamespace, InvalidName) as error:
        raise NoSuchView(f"View does not exist: {name}") from error


def parents_of(call: Call) -> Sequence[Namespace]:
    """What the `parent` query parameter may mean, likeliest first; nothing if it is empty.

    PyIceberg encodes the levels twice, so if there is no such namespace it may have meant another.
    """
    parent = call.query.get("parent")
    if not parent:
        return []
    levels = parent.split(NAMESPACE_SEPARATOR)
    meanings = [Namespace.of(levels)]
    decoded = [unquote(level) for level in levels]
    if decoded != levels:
        with suppress(InvalidName):
            meanings.append(Namespace.of(decoded))
    return meanings


def referenced_by(call: Call) -> Sequence[TableIdentifier]:
    """The views through which a table is read, outermost first, from `referenced-by`.

    A comma inside a name comes encoded, so the raw value is split before it is decoded.

    Raises:
        InvalidRequest: a part that names no view.
    """
    _, _, query = call.target.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    raw = next((value for name, _, value in pairs if unquote_plus(name) == "referenced-by"), "")
    try:
        parts = [unquote_plus(part, errors="strict") for part in raw.split(",") if part]
    except UnicodeDecodeError as error:
        raise InvalidRequest("`referenced-by` is not UTF-8") from error
    try:
        return [_referencing_view(part) for part in parts]
    except InvalidName as error:
        raise InvalidRequest(f"`referenced-by` names no view: {error.message}") from error


def _referencing_view(text: str) -> TableIdentifier:
    *levels, name = text.split(NAMESPACE_SEPARATOR)
    return TableIdentifier.of(levels, name)


def delegations_of(call: Call) -> Delegations:
    """By which mechanisms the client says that it can reach a table's files."""
    return parse_delegations(call.header(ACCESS_DELEGATION_HEADER))


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a list begins and how much of it is asked for; no limit means all of it."""

    after: str
    limit: int | None


def paging_of(call: Call, *, of: str) -> Paging:
    """Paging is opted into by a `pageToken`, empty for the first page (specification).

    PyIceberg sends only `pageSize` at first and follows the token it gets, so that opts in too.

    Raises:
        InvalidRequest: a page size that is not a positive number.
        InvalidPageToken: a token that this server did not issue for this list.
    """
    token, size = call.query.get("pageToken"), call.query.get("pageSize")
    if token is None and size is None:
        return Paging("", None)
    limit = PAGE_SIZE_MAX
    if size:
        if not size.isdecimal() or len(size) > PAGE_SIZE_DIGITS_MAX or int(size) < 1:
            raise InvalidRequest(f"`pageSize` must be a positive number, not `{size[:100]}`")
        limit = min(int(size), PAGE_SIZE_MAX)
    after = call.services.page_tokens.read(token, of=of) if token else ""
    return Paging(after, limit)


def list_of(call: Call, kind: str, path: str) -> str:
    """What a page token is bound to: a list, as one organisation has it."""
    return f"{kind}/{call.principal.organisation_id}/{call.path.get('prefix', '')}/{path}"


def identifiers_page(call: Call, kind: str, list_names: Callable[..., Page]) -> Json:
    """The identifiers of a namespace's tables or views: all of them, or the page asked for."""
    namespace = namespace_of(call)
    of = list_of(call, kind, namespace.path)
    paging = paging_of(call, of=of)
    page = list_names(
        call.principal, open_catalog(call), namespace, after=paging.after, limit=paging.limit
    )
    body = {
        "identifiers": [{"namespace": list(namespace.levels), "name": name} for name in page.items]
    }
    return next_page(call, body, of=of, after=page.next_after)


def next_page(call: Call, body: Json, *, of: str, after: str | None) -> Json:
    """Add the token of the next page, if there is one.  An empty token would loop for ever."""
    if after is not None:
        body["next-page-token"] = call.services.page_tokens.issue(of, after)
    return body


def text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"`{name}` must be a text that is not empty")
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else text(body, name)


def json_object(body: Mapping[str, Any], name: str) -> Json:
    value = body.get(name)
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{name}` must be a JSON object")
    return value


def optional_object(body: Mapping[str, Any], name: str) -> Json | None:
    return None if body.get(name) is None else json_object(body, name)


def json_objects(body: Mapping[str, Any], name: str) -> Sequence[Json]:
    """A list of objects; left out or null, it is empty."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest(f"`{name}` must be a list of JSON objects")
    return value


def properties(body: Mapping[str, Any], name: str) -> dict[str, str]:
    """A map of texts; left out or null, it is empty."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise InvalidRequest(f"`{name}` must map texts to texts")
    return value


def names(body: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts; left out or null, it is empty."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"`{name}` must be a list of texts")
    return value


def flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{name}` must be true or false")
    return value


def identifier(body: Mapping[str, Any], name: str) -> TableIdentifier:
    value = json_object(body, name)
    return TableIdentifier.of(names(value, "namespace"), text(value, "name"))


def identifier_json(table: TableIdentifier) -> Json:
    return {"namespace": list(table.namespace.levels), "name": table.name}
