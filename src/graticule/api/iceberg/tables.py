"""Table operations of the Iceberg REST specification."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.api.endpoint import Call, bytes_response, json_response, no_content
from graticule.api.iceberg import wire
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.spliced import Content, Piece, pieces_of
from graticule.services.catalog.client_properties import bearable
from graticule.services.catalog.commits import Committed
from graticule.services.catalog.planning_modes import PLANNING_MODE
from graticule.services.catalog.table_changes import TableChange
from graticule.services.catalog.table_loading import Held, LoadedTable, Unchanged, etag_of
from graticule.services.catalog.table_storage import VendedStorage
from graticule.services.catalog.tables import NewTable

Json = dict[str, Any]
_ETAG: Final = re.compile(r'"[^"]*"')
_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def list_tables(call: Call) -> Response:
    return json_response(wire.identifiers_page(call, "tables", call.services.tables.list_names))


def create_table(call: Call) -> Response:
    body = call.json()
    new = NewTable(
        identifier=TableIdentifier.of(wire.namespace_of(call).levels, wire.text(body, "name")),
        schema=wire.json_object(body, "schema"),
        partition_spec=wire.optional_object(body, "partition-spec"),
        write_order=wire.optional_object(body, "write-order"),
        location=wire.optional_text(body, "location"),
        properties=wire.properties(body, "properties"),
        is_staged=wire.flag(body, "stage-create"),
    )
    loaded = call.services.tables.create(
        call.principal,
        wire.open_catalog(call),
        new,
        delegate=wire.delegations_of(call),
        request=call.request,
    )
    return load_table_result(call, loaded)


def register_table(call: Call) -> Response:
    body = call.json()
    loaded = call.services.table_handover.register(
        call.principal,
        wire.open_catalog(call),
        TableIdentifier.of(wire.namespace_of(call).levels, wire.text(body, "name")),
        wire.text(body, "metadata-location"),
        overwrite=wire.flag(body, "overwrite"),
        delegate=wire.delegations_of(call),
        request=call.request,
    )
    return load_table_result(call, loaded)


def unregister_table(call: Call) -> Response:
    at, document = call.services.table_handover.unregister(
        call.principal, wire.open_catalog(call), wire.table_of(call), request=call.request
    )
    return bytes_response(*_located(at, document))


def load_table(call: Call) -> Response:
    snapshots = call.query.get("snapshots") or "all"
    if snapshots not in {"all", "refs"}:
        raise InvalidRequest(f"`snapshots` must be `all` or `refs`, not `{snapshots}`")
    wire.referenced_by(call)  # only checked: a view gives its readers no rights of its definer
    loaded = call.services.tables.load(
        call.principal,
        wire.open_catalog(call),
        wire.table_of(call),
        delegate=wire.delegations_of(call),
        snapshots=snapshots,
        held=_held(call.header("if-none-match")),
    )
    if isinstance(loaded, Unchanged):
        return no_content(304, headers={"ETag": loaded.etag})
    return load_table_result(call, loaded)


def _held(header: str | None) -> Held | None:
    """Tags are compared weakly: `W/` in front of one makes no difference."""
    if header is None:
        return None
    return Held(frozenset(_ETAG.findall(header)), is_anything=header.strip() == "*")


def table_exists(call: Call) -> Response:
    call.services.tables.exists(call.principal, wire.open_catalog(call), wire.table_of(call))
    return no_content()


def commit_table(call: Call) -> Response:
    identifier = wire.table_of(call)
    body = call.json()
    named = body.get("identifier")
    if (
        named is not None
        and named != wire.identifier_json(identifier)
        and wire.identifier(body, "identifier") != identifier
    ):
        raise InvalidRequest(f"the commit names another table than its path, `{identifier}`")
    catalog = wire.open_catalog(call)
    [committed] = call.services.commits.commit(
        call.principal, catalog, [_change(identifier, body)], request=call.request
    )
    return commit_response(committed)


def commit_transaction(call: Call) -> Response:
    """Several tables at once, all or nothing."""
    changes = wire.json_objects(call.json(), "table-changes")
    if not changes:
        raise InvalidRequest("`table-changes` must name at least one table")
    call.services.commits.commit(
        call.principal,
        wire.open_catalog(call),
        [_change(wire.identifier(change, "identifier"), change) for change in changes],
        request=call.request,
    )
    return no_content()


def drop_table(call: Call) -> Response:
    """Forgets the table.  Its files stay, unless they are to be purged: then they go soon after."""
    purge = call.flag("purgeRequested")
    call.services.table_removal.drop(
        call.principal,
        wire.open_catalog(call),
        wire.table_of(call),
        purge=purge,
        request=call.request,
    )
    if purge:
        call.services.upkeep.wake()
    return no_content()


def rename_table(call: Call) -> Response:
    body = call.json()
    call.services.tables.rename(
        call.principal,
        wire.open_catalog(call),
        wire.identifier(body, "source"),
        wire.identifier(body, "destination"),
        request=call.request,
    )
    return no_content()


def load_credentials(call: Call) -> Response:
    """Exactly one credential: Java's refreshing provider accepts no other number."""
    wire.referenced_by(call)
    storage = call.services.tables.vend(
        call.principal, wire.open_catalog(call), wire.table_of(call)
    )
    return json_response(
        {"storage-credentials": [{"prefix": storage.prefix, "config": _config(call, storage)}]},
        headers={"Cache-Control": "no-store"},
    )


def report_metrics(call: Call) -> Response:
    """Accepted whatever its type, for any table that is there."""
    call.services.metrics.report(
        call.principal, wire.open_catalog(call), wire.table_of(call), call.json()
    )
    return no_content()


def _change(identifier: TableIdentifier, body: Mapping[str, Any]) -> TableChange:
    return TableChange(
        identifier=identifier,
        requirements=wire.json_objects(body, "requirements"),
        updates=wire.json_objects(body, "updates"),
    )


def load_table_result(call: Call, loaded: LoadedTable) -> Response:
    """`LoadTableResult`, spliced from bytes: the document is not parsed each time it goes out.

    Credentials are in `config` too: PyIceberg reads no other place for a staged create.
    """
    storage = _config(call, loaded.storage)
    mode = call.services.planning_modes.of_table(loaded, user_agent=call.header("user-agent"))
    config = storage if mode is None else {**storage, PLANNING_MODE: mode}
    parts = [b"{"]
    if loaded.metadata_location is not None:
        parts += [b'"metadata-location":', json.dumps(loaded.metadata_location).encode(), b","]
    parts += [b'"metadata":', loaded.document, b',"config":', _encode(config)]
    if loaded.storage.has_credentials:
        parts += [b',"storage-credentials":[', _credentials(loaded.storage, storage), b"]"]
    parts.append(b"}")
    return bytes_response(*parts, headers={"ETag": loaded.etag, "Cache-Control": "no-store"})


def commit_response(committed: Committed) -> Response:
    pieces = _located(committed.record.metadata_location, committed.document)
    return bytes_response(*pieces, headers={"ETag": etag_of(committed.record)})


def _located(metadata_location: str, document: Content) -> Sequence[Piece]:
    location = json.dumps(metadata_location).encode()
    return b'{"metadata-location":', location, b',"metadata":', *pieces_of(document), b"}"


def _config(call: Call, storage: VendedStorage) -> dict[str, str]:
    return bearable(storage.config, user_agent=call.header("user-agent"))


def _credentials(storage: VendedStorage, config: Mapping[str, str]) -> bytes:
    return b",".join(_encode({"prefix": p, "config": config}) for p in storage.prefixes)


def _encode(value: Mapping[str, Any]) -> bytes:
    return _JSON.encode(dict(value)).encode()
