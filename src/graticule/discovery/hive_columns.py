"""Partition columns of a draft: what the names of its folders say, and whether its files agree."""

from graticule.discovery.assembly import Draft
from graticule.discovery.grouping import CandidateFile
from graticule.discovery.hive_types import TypeGuess, parse_value
from graticule.discovery.inspection import ColumnMetrics, FileInspection
from graticule.discovery.proposal import HiveColumn
from graticule.discovery.schema_merge import UNKNOWN_TYPE
from graticule.domain.errors import InvalidRequest


def hive_text(file: CandidateFile, key: str) -> str | None:
    return next((value.value for value in file.path.hive if value.key == key), None)


class HiveColumns:
    """The partition columns of one draft, file by file."""

    def __init__(self, draft: Draft) -> None:
        in_files = {column["name"]: column["type"] for column in draft.fields}
        types = {key: in_files.get(key, UNKNOWN_TYPE) for key in draft.hive_keys}
        self._draft = draft
        self._guesses = {key: TypeGuess() for key, type_ in types.items() if type_ == UNKNOWN_TYPE}
        self._types = {key: type_ for key, type_ in types.items() if key not in self._guesses}
        self._fitting = {key for key, type_ in self._types.items() if isinstance(type_, str)}

    def add(self, file: CandidateFile, inspection: FileInspection) -> None:
        for key, guess in self._guesses.items():
            guess.add(hive_text(file, key))
        for key in tuple(self._fitting):
            if not _fits(inspection, key, self._types[key], hive_text(file, key)):
                self._fitting.discard(key)

    def columns(self) -> tuple[HiveColumn, ...]:
        """Columns in the order of the folders; one that files contradict is none."""
        columns = []
        for key in dict.fromkeys(self._draft.hive_keys):
            if key in self._guesses:
                columns.append(HiveColumn(key, self._guesses[key].type, in_files=False))
            elif key in self._fitting:
                columns.append(HiveColumn(key, self._types[key], in_files=True))
            else:
                self._draft.lower(
                    f"folder names do not fit column `{key}`, which the files hold themselves"
                )
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
