"""What the commits of tables and of views have in common: a list of updates, and three of them.

Pure.  Specification: REST catalog, `TableUpdate` and `ViewUpdate`.
"""

from collections.abc import Collection
from typing import Any, Final

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg.document_draft import DocumentDraft
from graticule.iceberg.members import (
    Json,
    as_array,
    as_object,
    as_sequence,
    as_text,
    as_text_map,
    check_nesting,
    get_int,
    get_text,
    stripped_location,
)
from graticule.iceberg.properties import check_properties

UPDATES_MAX: Final = 10_000
"""In one commit."""
LAST_ADDED: Final = -1
"""As the id of a schema, spec, sort order or view version: the one this commit added last."""


def checked_updates(updates: object, known: Collection[str], *, of: str) -> list[Json]:
    """The updates of a commit to a table or view (`of`), every one of them with a known action.

    Raises:
        InvalidRequest: not a list of objects, too long or too deep.
        InvalidUpdate: an action that is not in `known`.
    """
    items = as_sequence(updates, "`updates`", items_max=UPDATES_MAX)
    checked = [as_object(update, "an update") for update in items]
    for update in checked:
        check_nesting(update)
        if action_of(update) not in known:
            raise InvalidUpdate(f"unknown {of} update `{action_of(update)[:100]}`")
    return checked


def action_of(update: Json) -> str:
    """Actions are read in any case, as the reference implementation reads them."""
    return get_text(update, "action", "an update").lower()


def id_or_last_added(draft: DocumentDraft, update: Json, key: str, member: str, what: str) -> int:
    """The id in the update; -1 is that of what this commit added last to `member`."""
    wanted = get_int(update, key, f"`{update['action']}`", least=LAST_ADDED)
    if wanted != LAST_ADDED:
        return wanted
    if member not in draft.last_added_ids:
        raise InvalidUpdate(f"Cannot set last added {what}: no {what} has been added")
    return draft.last_added_ids[member]


def set_location(draft: DocumentDraft, update: Json) -> None:
    draft.set("location", stripped_location(update.get("location")))


def set_properties(draft: DocumentDraft, update: Json) -> None:
    changes = as_text_map(_either(update, "updates", "updated"), "`updates` of `set-properties`")
    check_properties(changes)
    current = draft.document["properties"]
    if any(current.get(key) != value for key, value in changes.items()):
        draft.own_map("properties").update(changes)
        draft.is_changed = True


def remove_properties(draft: DocumentDraft, update: Json) -> None:
    for key in as_array(_either(update, "removals", "removed"), "`removals`"):
        if as_text(key, "an entry of `removals`") in draft.document["properties"]:
            del draft.own_map("properties")[key]
            draft.is_changed = True


def _either(update: Json, key: str, legacy_key: str) -> Any:
    return update[key] if update.get(key) is not None else update.get(legacy_key)
