"""Versions of a view: read what a client sends, compare them, and decide which ones are kept.

Pure.  Semantics are those of the reference implementation's builder.
Specification: view, "Versions".
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from graticule.domain.errors import InvalidRequest, InvalidUpdate, InvalidViewVersion
from graticule.iceberg.members import (
    Json,
    as_object,
    as_text_map,
    get_array,
    get_int,
    get_long,
    get_object,
    get_text,
    without_nulls,
)

SQL: Final = "sql"
HISTORY_SIZE: Final = "version.history.num-entries"
HISTORY_SIZE_DEFAULT: Final = 10
DROP_DIALECT_ALLOWED: Final = "replace.drop-dialect.allowed"

_NOT_COMPARED: Final = frozenset({"version-id", "timestamp-ms"})


def parse_version(value: object) -> Json:
    """Check a version that a client wants to add.  Unknown members survive.

    Raises:
        InvalidViewVersion: no query, two queries for one dialect, or one that is not SQL.
        InvalidRequest: malformed.
    """
    version = check_version(value)
    representations = [_supported(item) for item in version["representations"]]
    if not representations:
        raise InvalidViewVersion("Invalid view version: at least one representation is needed")
    seen: set[str] = set()
    for representation in representations:
        dialect = representation["dialect"].lower()
        if dialect in seen:
            raise InvalidViewVersion(
                f"Invalid view version: Cannot add multiple queries for dialect {dialect}"
            )
        seen.add(dialect)
    return version | {"representations": representations}


def check_version(value: object) -> Json:
    """Check the form of a version that is stored, or about to be; nulls are left out.

    Raises:
        InvalidRequest: malformed.
    """
    version = without_nulls(as_object(value, "a view version"), ("default-catalog",))
    get_int(version, "version-id", "a view version")
    of = f"view version {version['version-id']}"
    get_int(version, "schema-id", of, least=-1)
    get_long(version, "timestamp-ms", of, least=0)
    as_text_map(get_object(version, "summary", of), f"`summary` of {of}")
    if "default-catalog" in version:
        get_text(version, "default-catalog", of)
    if not all(isinstance(level, str) for level in get_array(version, "default-namespace", of)):
        raise InvalidRequest(f"`default-namespace` of {of} must be an array of texts")
    for item in get_array(version, "representations", of):
        representation = as_object(item, f"a representation of {of}")
        if get_text(representation, "type", f"a representation of {of}").lower() == SQL:
            get_text(representation, SQL, f"a representation of {of}")
            get_text(representation, "dialect", f"a representation of {of}")
    return version


def same_version(one: Json, other: Json) -> bool:
    """Whether two versions would behave the same: all is compared but the id and the time."""
    return _comparable(one) == _comparable(other)


def dialects(version: Json) -> set[str]:
    """In lower case: dialects are compared without regard to case."""
    return {
        item["dialect"].lower()
        for item in version["representations"]
        if item["type"].lower() == SQL
    }


def check_dialects_kept(previous: Json, current: Json, properties: Mapping[str, str]) -> None:
    """Refuse a replacement that engines of some dialect could no longer read.

    Raises:
        InvalidUpdate: a dialect is lost, and the view's properties do not allow it.
    """
    if properties.get(DROP_DIALECT_ALLOWED, "").strip().lower() == "true":
        return
    before, after = dialects(previous), dialects(current)
    if not before <= after:
        raise InvalidUpdate(
            f"Cannot replace view due to loss of view dialects ({DROP_DIALECT_ALLOWED}=false):\n"
            f"Previous dialects: {sorted(before)}\nNew dialects: {sorted(after)}"
        )


def history_size(properties: Mapping[str, str]) -> int:
    """How many versions a view keeps.

    Raises:
        InvalidUpdate: the property is not a positive number.
    """
    text = properties.get(HISTORY_SIZE, str(HISTORY_SIZE_DEFAULT)).strip()
    if not text.isascii() or not text.isdecimal() or int(text[:9]) < 1:
        raise InvalidUpdate(f"{HISTORY_SIZE} must be positive but was {text[:100]}")
    return int(text[:9])


def retained_versions(
    versions: Sequence[Json], *, current_id: int, added_ids: Collection[int], size: int
) -> list[Json]:
    """The current version and the newest others, `size` in all, or as many as were just added."""
    keep = max(len({*added_ids, current_id}), size)
    newest = sorted((item["version-id"] for item in versions), reverse=True)
    others = [version_id for version_id in newest if version_id != current_id]
    kept = {current_id, *others[: keep - 1]}
    return [item for item in versions if item["version-id"] in kept]


def retained_log(log: Sequence[Json], version_ids: Collection[int]) -> list[Json]:
    """The entries after the last one that names a version which is gone: history has no gaps."""
    kept: list[Json] = []
    for entry in log:
        if entry["version-id"] in version_ids:
            kept.append(entry)
        else:
            kept.clear()
    return kept


def _supported(representation: Json) -> Json:
    if representation["type"].lower() != SQL:
        raise InvalidViewVersion(
            f"Found unsupported view representations: [{representation['type'][:100]}]"
        )
    return representation | {"type": SQL}


def _comparable(version: Json) -> Json:
    return {
        key: value
        for key, value in version.items()
        if key not in _NOT_COMPARED and value is not None
    }
