"""What a catalog says of its tables, over the Iceberg REST API, as the command line prints it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from graticule.cli.connection import segment

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

Json = dict[str, Any]

_SEPARATOR: Final = "%1F"
_TOTALS: Final = {
    "files": "total-data-files",
    "rows": "total-records",
    "size_bytes": "total-files-size",
}


def tables_of(api: "ManagementApi", catalog: str, levels: Sequence[str]) -> Iterator[Json]:
    """The tables in a namespace and in all below it; of the whole catalog without levels."""
    base = _base(api, catalog)
    waiting = [list(levels)]
    while waiting:
        namespace = waiting.pop(0)
        parent = {"parent": "\x1f".join(namespace)} if namespace else {}
        # Before its tables: a namespace that is not there is to be told as such.
        children = list(_pages(api, f"{base}/namespaces", "namespaces", parent))
        if namespace:
            for found in _pages(api, f"{_namespace(base, namespace)}/tables", "identifiers", {}):
                yield {"namespace": dotted(found["namespace"]), "name": found["name"]}
        waiting = [*children, *waiting]


def table_of(api: "ManagementApi", catalog: str, levels: Sequence[str], name: str) -> Json:
    """One table: its columns, where it lies, its current snapshot and what that counts."""
    # Not at the top: every command would wait for them.
    from graticule.iceberg import metadata  # noqa: PLC0415

    path = f"{_namespace(_base(api, catalog), levels)}/tables/{segment(name)}"
    loaded = api.get_iceberg(path, {"snapshots": "refs"})
    document = loaded["metadata"]
    snapshot = metadata.current_snapshot(document)
    schema = metadata.current_schema(document)
    names = {field["id"]: field["name"] for field in schema["fields"]}
    return {
        "namespace": dotted(levels),
        "name": name,
        "table_uuid": document["table-uuid"],
        "format_version": document["format-version"],
        "location": document["location"],
        "metadata_location": loaded["metadata-location"],
        "snapshot_id": None if snapshot is None else snapshot["snapshot-id"],
        "snapshot_at": None if snapshot is None else _moment(snapshot["timestamp-ms"]),
        **_counts(snapshot),
        "places": _places(document, schema),
        "partitioned_by": [
            f"{field['transform']}({names.get(field['source-id'], field['name'])})"
            for field in metadata.default_partition_spec(document)["fields"]
        ],
        "columns": schema["fields"],
        "properties": dict(metadata.properties(document)),
    }


def dotted(levels: Sequence[str]) -> str:
    """Levels as commands take them: a dot inside one has a backslash in front."""
    return ".".join(level.replace(".", "\\.") for level in levels)


def _places(document: Json, schema: Json) -> list[str]:
    """Geometry columns, that which is searched by first; else the pair of positions."""
    from graticule.domain.errors import InvalidRequest  # noqa: PLC0415
    from graticule.planning.table_places import geometry_columns, place_of  # noqa: PLC0415

    others = geometry_columns(document, schema)
    try:
        place = place_of(document, schema)
    except InvalidRequest:
        return others
    if place.geometry is not None:
        return [place.geometry, *(name for name in others if name != place.geometry)]
    return [*others, *dict.fromkeys(name for each in place.columns for name in each.names)]


def _counts(snapshot: Json | None) -> dict[str, int | None]:
    """None where the snapshot, as its writer left it, does not say."""
    summary = {} if snapshot is None else snapshot.get("summary", {})
    unsaid = "0" if snapshot is None else ""
    said = {name: summary.get(key, unsaid) for name, key in _TOTALS.items()}
    return {name: int(text) if text.isdecimal() else None for name, text in said.items()}


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _base(api: "ManagementApi", catalog: str) -> str:
    return f"/{segment(api.get(f'/catalogs/{segment(catalog)}')['id'])}"


def _namespace(base: str, levels: Sequence[str]) -> str:
    return f"{base}/namespaces/{_SEPARATOR.join(map(segment, levels))}"


def _pages(api: "ManagementApi", path: str, member: str, params: Json) -> Iterator[Any]:
    token: str | None = ""
    while token is not None:
        page = api.get_iceberg(path, {**params, "pageToken": token})
        yield from page[member]
        token = page.get("next-page-token")
