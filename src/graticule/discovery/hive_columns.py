"""Partition columns of a draft: what the names of its folders say, and whether its files agree."""

from graticule.discovery.assembly import Draft
from graticule.discovery.grouping import CandidateFile
from graticule.discovery.hive_types import infer_type, parse_value
from graticule.discovery.inspection import ColumnMetrics, FileInspection
from graticule.discovery.proposal import HiveColumn
from graticule.discovery.schema_merge import UNKNOWN_TYPE
from graticule.domain.errors import InvalidRequest


def hive_text(file: CandidateFile, key: str) -> str | None:
    return next((value.value for value in file.path.hive if value.key == key), None)


def hive_columns_of(draft: Draft) -> tuple[HiveColumn, ...]:
    """Columns in the order of the folders; one that files contradict is none."""
    columns = []
    in_files = {column["name"]: column["type"] for column in draft.fields}
    for key in dict.fromkeys(draft.hive_keys):
        type_ = in_files.get(key, UNKNOWN_TYPE)
        if type_ == UNKNOWN_TYPE:
            texts = [hive_text(file, key) for file, _ in draft.members]
            columns.append(HiveColumn(key, infer_type(texts), in_files=False))
        elif isinstance(type_, str) and all(
            _fits(inspection, key, type_, hive_text(file, key))
            for file, inspection in draft.members
        ):
            columns.append(HiveColumn(key, type_, in_files=True))
        else:
            draft.lower(f"folder names do not fit column `{key}`, which the files hold themselves")
    return tuple(columns)


def _fits(inspection: FileInspection, key: str, type_: str, text: str | None) -> bool:
    """False if the column of a file holds, or may hold, something else than its folder says.

    Engines take the value of a partition for that of all its rows, and look no further.
    """
    try:
        value = parse_value(type_, text)
    except (ValueError, ArithmeticError, InvalidRequest):
        return False
    found = inspection.metrics.get(key)
    if found is None:
        return True
    if value is None:
        return found.null_count == found.value_count
    return not found.null_count and _is_only(found, value)


def _is_only(found: ColumnMetrics, value: object) -> bool:
    """True unless the bounds of a column say that it holds another value."""
    if isinstance(value, str):
        lower, upper = found.lower, found.upper
        return (lower is None or lower <= value) and (upper is None or value <= upper)
    return found.lower in (None, value) and found.upper in (None, value)
