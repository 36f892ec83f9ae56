"""View metadata documents: read them, check those that somebody else wrote.

As with tables a document is the specification's JSON object and nothing else; `view_updates`
changes it, `metadata` spells it as bytes.  Pure.  Specification: view, "View metadata".
"""

from collections.abc import Mapping, Sequence
from typing import Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.members import (
    Json,
    as_object,
    as_text_map,
    check_nesting,
    get_int,
    get_long,
    get_objects,
    get_text,
    stripped_location,
)
from graticule.iceberg.schema import parse_schema
from graticule.iceberg.view_versions import check_version

VIEW_FORMAT_VERSION: Final = 1
METADATA_COMPRESSION: Final = "write.metadata.compression-codec"
METADATA_COMPRESSION_DEFAULT: Final = "gzip"
"""Of views; a table's default is none."""

_OF: Final = "the view metadata"


def properties(document: Json) -> Mapping[str, str]:
    return document.get("properties") or {}


def is_compressed(document: Json) -> bool:
    """Whether the view's metadata files are to be gzip."""
    codec = properties(document).get(METADATA_COMPRESSION, METADATA_COMPRESSION_DEFAULT)
    return codec.strip().lower() == METADATA_COMPRESSION_DEFAULT


def version_by_id(document: Json, version_id: int) -> Json | None:
    return next((v for v in document["versions"] if v["version-id"] == version_id), None)


def current_version(document: Json) -> Json:
    found = version_by_id(document, document["current-version-id"])
    if found is None:
        raise InvalidRequest(
            f"Cannot find current version {document['current-version-id']} in view versions"
        )
    return found


def check_document(document: object) -> None:
    """Check that `document` is view metadata and contradicts itself nowhere.

    Raises:
        InvalidRequest: says what is missing, malformed or contradictory.
    """
    check_nesting(document)
    metadata = as_object(document, _OF)
    version = get_int(metadata, "format-version", _OF)
    if version != VIEW_FORMAT_VERSION:
        raise InvalidRequest(f"Unsupported format version: {version}")
    get_text(metadata, "view-uuid", _OF)
    stripped_location(metadata.get("location"))
    if metadata.get("properties") is not None:
        as_text_map(metadata["properties"], f"`properties` of {_OF}")
    schema_ids = _checked_ids(metadata, "schemas", "schema-id")
    for schema in metadata["schemas"]:
        parse_schema(schema)
    _checked_ids(metadata, "versions", "version-id")
    for item in metadata["versions"]:
        check_version(item)
    for entry in get_objects(metadata, "version-log", _OF):
        get_int(entry, "version-id", "`version-log`")
        get_long(entry, "timestamp-ms", "`version-log`", least=0)
    get_int(metadata, "current-version-id", _OF)
    schema_id = current_version(metadata)["schema-id"]
    if schema_id not in schema_ids:
        raise InvalidRequest(f"Cannot find current schema with id {schema_id} in schemas")


def _checked_ids(metadata: Json, key: str, id_key: str) -> Sequence[int]:
    items = get_objects(metadata, key, _OF)
    if not items:
        raise InvalidRequest(f"{_OF} has no `{key}`")
    ids = [get_int(item, id_key, f"`{key}`") for item in items]
    if len(set(ids)) < len(ids):
        raise InvalidRequest(f"{_OF} repeats a `{id_key}`")
    return ids
