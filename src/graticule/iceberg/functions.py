"""Function metadata: make the document of a SQL function, and the one that follows it.

A request says what each definition is and does now; ids, versions and the log are kept here.
Pure.  Specification: SQL UDF, "UDF metadata".
"""

from collections.abc import Sequence
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.members import (
    Json,
    as_object,
    as_sequence,
    as_text,
    as_text_map,
    check_nesting,
    get_array,
    get_bool,
    get_text,
)
from graticule.iceberg.types import canonical_type

FUNCTION_FORMAT_VERSION: Final = 1
DEFINITIONS_MAX: Final = 200
PARAMETERS_MAX: Final = 200
REPRESENTATIONS_MAX: Final = 50
VERSIONS_MAX: Final = 10
"""Of one definition: the newest are kept."""
LOG_ENTRIES_MAX: Final = 100

_FUNCTION_TYPES: Final = ("udf", "udtf")
_NULL_INPUTS: Final = ("call", "return-null")
_SIGNATURE: Final = ("definition-id", "return-type", "return-nullable", "function-type")
"""What all versions of a definition share: another one begins its versions anew."""
_NOT_COMPARED: Final = frozenset({"version-id", "timestamp-ms"})


def new_function(wanted: Json, *, function_uuid: str, now_ms: int) -> Json:
    """The first document of a function.

    Raises:
        InvalidRequest: malformed, a type that is none, or two definitions for one signature.
    """
    base: Json = {"function-uuid": function_uuid, "format-version": FUNCTION_FORMAT_VERSION}
    return _following(base, wanted, now_ms=now_ms)


def replaced_function(document: Json, wanted: Json, *, now_ms: int) -> Json:
    """The document that follows `document`; that very one if nothing would change.

    Definitions are told apart by their signatures.  One that does the same as before keeps its
    version; one that is not wanted any more is gone.

    Raises:
        InvalidRequest: as for a new one.
    """
    following = _following(document, wanted, now_ms=now_ms)
    return document if following == document else following


def _following(base: Json, wanted: Json, *, now_ms: int) -> Json:
    check_nesting(wanted)
    known = {item["definition-id"]: item for item in base.get("definitions", ())}
    requested = as_sequence(wanted.get("definitions"), "`definitions`", items_max=DEFINITIONS_MAX)
    if not requested:
        raise InvalidRequest("a function needs at least one definition")
    definitions = [_definition(as_object(d, "a definition"), known, now_ms) for d in requested]
    _check_unique([d["definition-id"] for d in definitions], "two definitions take the parameters")
    _check_unique(
        [d["specific-name"] for d in definitions if "specific-name" in d],
        "two definitions have the specific name",
    )
    document: Json = {
        "function-uuid": base["function-uuid"],
        "format-version": base["format-version"],
        "definitions": definitions,
        "definition-log": _log(base.get("definition-log", []), definitions, now_ms),
    }
    if wanted.get("properties"):
        document["properties"] = as_text_map(wanted["properties"], "`properties`")
    if wanted.get("secure") is not None:
        document["secure"] = get_bool(wanted, "secure", "the function")
    return document | _doc(wanted)


def _definition(wanted: Json, known: dict[str, Json], now_ms: int) -> Json:
    parameters = [_parameter(p) for p in _limited(wanted, "parameters", PARAMETERS_MAX)]
    _check_unique([p["name"] for p in parameters], "two parameters are called")
    function_type = wanted.get("function-type", _FUNCTION_TYPES[0])
    if function_type not in _FUNCTION_TYPES:
        raise InvalidRequest("`function-type` of a definition must be `udf` or `udtf`")
    return_type = _type(wanted.get("return-type"), "`return-type`")
    if function_type == "udtf" and not _is_struct(return_type):
        raise InvalidRequest("`return-type` of a `udtf` must be a struct: the rows it gives")
    definition: Json = {
        "definition-id": ",".join(_signature(p["type"]) for p in parameters),
        "parameters": parameters,
        "return-type": return_type,
        "function-type": function_type,
    }
    if wanted.get("specific-name") is not None:
        definition["specific-name"] = get_text(wanted, "specific-name", "a definition")
    if wanted.get("return-nullable") is not None:
        definition["return-nullable"] = get_bool(wanted, "return-nullable", "a definition")
    versions, current_id = _versions(
        _implementation(wanted), definition, known.get(definition["definition-id"]), now_ms
    )
    return definition | _doc(wanted) | {"versions": versions, "current-version-id": current_id}


def _implementation(wanted: Json) -> Json:
    """What one version is compared by."""
    representations = [
        _representation(item) for item in _limited(wanted, "representations", REPRESENTATIONS_MAX)
    ]
    if not representations:
        raise InvalidRequest("a definition needs at least one representation")
    _check_unique([r["dialect"].lower() for r in representations], "two queries for the dialect")
    implementation: Json = {"representations": representations}
    if wanted.get("deterministic") is not None:
        implementation["deterministic"] = get_bool(wanted, "deterministic", "a definition")
    if wanted.get("on-null-input") is not None:
        if wanted["on-null-input"] not in _NULL_INPUTS:
            raise InvalidRequest("`on-null-input` must be `call` or `return-null`")
        implementation["on-null-input"] = wanted["on-null-input"]
    return implementation


def _versions(
    implementation: Json, definition: Json, known: Json | None, now_ms: int
) -> tuple[list[Json], int]:
    """The versions of a definition and the id of the current one."""
    stored: list[Json] = known["versions"] if known else []
    next_id = 1 + max((version["version-id"] for version in stored), default=0)
    if known and any(known.get(key) != definition.get(key) for key in _SIGNATURE):
        stored = []
    for version in stored:
        if {k: v for k, v in version.items() if k not in _NOT_COMPARED} == implementation:
            return stored, version["version-id"]
    added = {"version-id": next_id, **implementation, "timestamp-ms": now_ms}
    return [*stored, added][-VERSIONS_MAX:], next_id


def _log(log: Sequence[Json], definitions: Sequence[Json], now_ms: int) -> list[Json]:
    """The log with the selected versions at its end, without what names a version that is gone."""
    selected = [
        {"definition-id": d["definition-id"], "version-id": d["current-version-id"]}
        for d in definitions
    ]
    entries = list(log)
    if not entries or entries[-1]["definition-versions"] != selected:
        entries.append({"timestamp-ms": now_ms, "definition-versions": selected})
    present = {(d["definition-id"], v["version-id"]) for d in definitions for v in d["versions"]}
    kept: list[Json] = []
    for entry in entries:
        named = {(v["definition-id"], v["version-id"]) for v in entry["definition-versions"]}
        kept = [*kept, entry] if named <= present else []
    return kept[-LOG_ENTRIES_MAX:]


def _parameter(value: object) -> Json:
    parameter = as_object(value, "a parameter")
    name = get_text(parameter, "name", "a parameter")
    return {"name": name, "type": _type(parameter.get("type"), f"`{name}`")} | _doc(parameter)


def _representation(value: object) -> Json:
    representation = as_object(value, "a representation")
    if representation.get("type", "sql") != "sql":
        raise InvalidRequest("`type` of a representation must be `sql`")
    return {
        "type": "sql",
        "dialect": get_text(representation, "dialect", "a representation"),
        "sql": get_text(representation, "sql", "a representation"),
    }


def _type(value: object, of: str) -> Any:
    """The canonical type, nested ones with the members that the specification reads."""
    if isinstance(value, str):
        text = canonical_type(value).replace(", ", ",")
        if " " in text:
            raise InvalidRequest(f"the type of {of} must not contain spaces")
        return text
    nested = as_object(value, f"the type of {of}")
    match nested.get("type"):
        case "list":
            return {"type": "list", "element": _type(nested.get("element"), of)}
        case "map":
            return {
                "type": "map",
                "key": _type(nested.get("key"), of),
                "value": _type(nested.get("value"), of),
            }
        case "struct":
            fields = [as_object(f, f"a field of {of}") for f in get_array(nested, "fields", of)]
            return {
                "type": "struct",
                "fields": [
                    {
                        "name": get_text(f, "name", f"a field of {of}"),
                        "type": _type(f.get("type"), of),
                    }
                    for f in fields
                ],
            }
        case _:
            raise InvalidRequest(f"the type of {of} must be a struct, a list or a map")


def _signature(canonical: Any) -> str:
    """The text by which the specification identifies a type."""
    if isinstance(canonical, str):
        return canonical
    match canonical["type"]:
        case "list":
            return f"list<{_signature(canonical['element'])}>"
        case "map":
            return f"map<{_signature(canonical['key'])},{_signature(canonical['value'])}>"
        case _:
            fields = (f"{f['name']}:{_signature(f['type'])}" for f in canonical["fields"])
            return f"struct<{','.join(fields)}>"


def _is_struct(canonical: Any) -> bool:
    return isinstance(canonical, dict) and canonical["type"] == "struct"


def _limited(wanted: Json, key: str, items_max: int) -> Sequence[Any]:
    return as_sequence(wanted.get(key), f"`{key}` of a definition", items_max=items_max)


def _doc(wanted: Json) -> Json:
    doc = wanted.get("doc")
    return {} if doc is None else {"doc": as_text(doc, "`doc`")}


def _check_unique(names: Sequence[str], complaint: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidRequest(f"{complaint} `{name}`")
        seen.add(name)
