"""Apply view updates to a view metadata document.  Pure: no clock, no storage, no SQL.

One function for each action, all of them in the flat table `VIEW_UPDATES`.  Semantics are those of
the reference implementation's builder, but that an equal version or schema counts as the last
added, so that a replacement sent twice is a success that changes nothing.
Specification: REST catalog, `ViewUpdate`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from graticule.domain.errors import InvalidRequest, InvalidUpdate
from graticule.iceberg import view_metadata as view
from graticule.iceberg.document_draft import DocumentDraft
from graticule.iceberg.document_updates import (
    LAST_ADDED,
    action_of,
    checked_updates,
    id_or_last_added,
    remove_properties,
    set_location,
    set_properties,
)
from graticule.iceberg.members import Json, as_int, as_object, get_int, get_text
from graticule.iceberg.schema import looks_same, parse_schema, same_schema
from graticule.iceberg.view_versions import (
    check_dialects_kept,
    history_size,
    parse_version,
    retained_log,
    retained_versions,
    same_version,
)

FIRST_VERSION_ID: Final = 1


@dataclass(frozen=True, slots=True)
class AppliedToView:
    """`changed` is False if the updates had no effect; `document` is then the one given."""

    document: Json
    changed: bool


@dataclass(slots=True)
class ViewDraft(DocumentDraft):
    """One commit to a view in the making."""

    added_version_ids: set[int] = field(default_factory=set)
    log_entry: Json | None = None
    """At most one per commit: the version that ends up as the current one."""

    @classmethod
    def of(cls, base: Json, *, now_ms: int) -> "ViewDraft":
        document = base | {
            "properties": view.properties(base),
            "version-log": base.get("version-log") or [],
        }
        return cls(document, base, now_ms)

    @classmethod
    def empty(cls, *, view_uuid: str, now_ms: int) -> "ViewDraft":
        document: Json = {
            "view-uuid": view_uuid,
            "format-version": view.VIEW_FORMAT_VERSION,
            "location": None,
            "properties": {},
            "schemas": [],
            "current-version-id": None,
            "versions": [],
            "version-log": [],
        }
        return cls(document, None, now_ms)

    def finish(self) -> None:
        """Write the log, check the whole, and leave out what is too old.

        Raises:
            InvalidUpdate: a dialect is lost, or the history's size makes no sense.
        """
        document = self.document
        if self.log_entry is not None:
            self.own_list("version-log").append(self.log_entry)
        if self.base is not None:
            check_dialects_kept(
                view.current_version(self.base),
                view.current_version(document),
                document["properties"],
            )
        kept = retained_versions(
            document["versions"],
            current_id=document["current-version-id"],
            added_ids=self.added_version_ids,
            size=history_size(document["properties"]),
        )
        if len(kept) < len(document["versions"]):
            self.replace("versions", kept)
            ids = {version["version-id"] for version in kept}
            self.replace("version-log", retained_log(document["version-log"], ids))


def apply(updates: Sequence[Json], metadata: Json, *, now_ms: int) -> AppliedToView:
    """Apply the updates in order; all or none.

    `metadata` must have passed `check_document`; it is never changed, and what the result shares
    with it must not be changed either.

    Raises:
        InvalidUpdate: an update is unknown, malformed or contradicts the view.
    """
    draft = _applied(updates, ViewDraft.of(metadata, now_ms=now_ms))
    return AppliedToView(draft.document if draft.is_changed else metadata, draft.is_changed)


def new_view(
    *,
    schema: object,
    version: object,
    location: str,
    properties: Mapping[str, str],
    view_uuid: str,
    now_ms: int,
) -> Json:
    """The first document of a view, as a create request describes it.

    The schema gets the id 0 and the version the id 1, whatever ids the request gives them.

    Raises:
        InvalidUpdate: the schema, version or location is not legal, or a property is refused.
    """
    updates: list[Json] = [
        {"action": "set-location", "location": location},
        {"action": "set-properties", "updates": properties},
        {"action": "add-schema", "schema": schema},
        {"action": "add-view-version", "view-version": _first(version)},
        {"action": "set-current-view-version", "view-version-id": LAST_ADDED},
    ]
    return _applied(updates, ViewDraft.empty(view_uuid=view_uuid, now_ms=now_ms)).document


def assign_uuid(draft: ViewDraft, update: Json) -> None:
    uuid = get_text(update, "uuid", "`assign-uuid`")
    if uuid.lower() != draft.document["view-uuid"].lower():
        raise InvalidUpdate("Cannot reassign uuid")


def upgrade_format_version(draft: ViewDraft, update: Json) -> None:
    version = get_int(update, "format-version", "`upgrade-format-version`")
    current = draft.document["format-version"]
    if version < current:
        raise InvalidUpdate(f"Cannot downgrade v{current} view to v{version}")
    if version > view.VIEW_FORMAT_VERSION:
        raise InvalidUpdate(f"Unsupported format version: {version}")


def add_schema(draft: ViewDraft, update: Json) -> None:
    """The id in the request is not looked at: an equal schema is reused, a new one counts on."""
    draft.count_definition()
    schema = parse_schema(update.get("schema"))
    new_id = 0
    for existing in draft.document["schemas"]:
        if looks_same(existing, schema.document) and same_schema(parse_schema(existing), schema):
            draft.last_added_ids["schemas"] = existing["schema-id"]
            return
        new_id = max(new_id, existing["schema-id"] + 1)
    draft.add_definition("schemas", "schema-id", schema.document | {"schema-id": new_id})


def add_view_version(draft: ViewDraft, update: Json) -> None:
    """A version that behaves like one that is there is that one; else it never takes an old id."""
    draft.count_definition()
    version = parse_version(update.get("view-version"))
    version |= {"schema-id": _schema_id(draft, version)}
    new_id = version["version-id"]
    for existing in draft.document["versions"]:
        if same_version(existing, version):
            draft.last_added_ids["versions"] = existing["version-id"]
            return
        new_id = max(new_id, existing["version-id"] + 1)
    as_int(new_id, "a view version's id")
    draft.add_definition("versions", "version-id", version | {"version-id": new_id})
    draft.added_version_ids.add(new_id)


def set_current_view_version(draft: ViewDraft, update: Json) -> None:
    """Logged with the time of the version if this commit added it, else with that of the commit."""
    wanted = id_or_last_added(draft, update, "view-version-id", "versions", "view version")
    if draft.document["current-version-id"] == wanted:
        return
    version = view.version_by_id(draft.document, wanted)
    if version is None:
        raise InvalidUpdate(f"Cannot set current version to unknown version: {wanted}")
    draft.set("current-version-id", wanted)
    was_added = wanted in draft.added_version_ids
    since_ms = version["timestamp-ms"] if was_added else draft.now_ms
    draft.log_entry = {"timestamp-ms": since_ms, "version-id": wanted}


VIEW_UPDATES: Final[Mapping[str, Callable[[ViewDraft, Json], None]]] = {
    "assign-uuid": assign_uuid,
    "upgrade-format-version": upgrade_format_version,
    "add-schema": add_schema,
    "set-location": set_location,
    "set-properties": set_properties,
    "remove-properties": remove_properties,
    "add-view-version": add_view_version,
    "set-current-view-version": set_current_view_version,
}


def _applied(updates: Sequence[Json], draft: ViewDraft) -> ViewDraft:
    try:
        for update in checked_updates(updates, VIEW_UPDATES, of="view"):
            VIEW_UPDATES[action_of(update)](draft, update)
        if draft.is_changed:
            draft.finish()
    except InvalidUpdate:
        raise
    except InvalidRequest as error:
        raise InvalidUpdate(error.message) from error
    return draft


def _first(version: object) -> Json:
    return as_object(version, "`view-version`") | {
        "version-id": FIRST_VERSION_ID,
        "schema-id": LAST_ADDED,
    }


def _schema_id(draft: ViewDraft, version: Json) -> int:
    wanted: int = version["schema-id"]
    if wanted == LAST_ADDED:
        if "schemas" not in draft.last_added_ids:
            raise InvalidUpdate("Cannot set last added schema: no schema has been added")
        return draft.last_added_ids["schemas"]
    if all(schema["schema-id"] != wanted for schema in draft.document["schemas"]):
        raise InvalidUpdate(f"Cannot add version with unknown schema: {wanted}")
    return wanted
