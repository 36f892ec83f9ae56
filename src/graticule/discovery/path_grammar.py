"""What the key of an object says: partition values, and whether it is data at all.  Text only.

Sources: Hive's partition folders (`key=value`, escaped like URLs), Hadoop's rule that names with a
leading `_` or `.` are hidden, and the folders by which table formats are known.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
"""Hive's spelling of a partition value that is null or empty."""

PARQUET_SUFFIXES: Final = (".parquet", ".geoparquet", ".parq", ".pq")

_HIVE_SEGMENT: Final = re.compile(r"([^=/]+)=([^/]*)")
_TEMPORARY_SUFFIXES: Final = (".crc", ".tmp", ".temp", ".inprogress", "._copying_")
_TABLE_FORMATS: Final = {
    "_delta_log": "a Delta Lake table",
    ".hoodie": "a Hudi table",
}
_ICEBERG_METADATA: Final = re.compile(
    r"(?:(?P<folder>.*)/)?metadata/[^/]+\.metadata\.json(?:\.gz)?"
)
"""`….gz.metadata.json` and `….metadata.json.gz` are both in use."""


@dataclass(frozen=True, slots=True)
class HiveValue:
    """One partition folder: `value` is unescaped text, None for Hive's null."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class DataPath:
    """The parts of a data file's key.

    `root` is the folder that its table would have: above the first partition folder, else the
    file's own; empty, or with a trailing slash.
    """

    key: str
    root: str
    file_name: str
    hive: tuple[HiveValue, ...]

    @property
    def hive_keys(self) -> tuple[str, ...]:
        return tuple(value.key for value in self.hive)

    @property
    def stem(self) -> str:
        lowered = self.file_name.lower()
        suffix = next((suffix for suffix in PARQUET_SUFFIXES if lowered.endswith(suffix)), "")
        return self.file_name[: len(self.file_name) - len(suffix)]


def parse_path(key: str) -> DataPath:
    """Split a key; folders between or below partition folders say nothing and are passed over."""
    *folders, file_name = key.split("/")
    hive: list[HiveValue] = []
    above = folders
    for position, folder in enumerate(folders):
        value = parse_hive_segment(folder)
        if value is not None:
            if not hive:
                above = folders[:position]
            hive.append(value)
    return DataPath(key, "".join(f"{folder}/" for folder in above), file_name, tuple(hive))


def parse_hive_segment(segment: str) -> HiveValue | None:
    match = _HIVE_SEGMENT.fullmatch(segment)
    if match is None:
        return None
    key, value = unquote(match[1]), unquote(match[2])
    return HiveValue(key, None if value in {"", HIVE_NULL} else value)


def reason_to_ignore(key: str, size_bytes: int) -> str | None:
    """Why an object is no data file of its own; None if it may be one."""
    if key.endswith(("/", "_$folder$")):
        return "a folder marker"
    *folders, file_name = key.split("/")
    for folder in folders:
        if folder == "_temporary" or (folder.startswith((".", "_")) and "=" not in folder):
            return f"in the hidden folder `{folder}`"
    if file_name.startswith((".", "_")):
        return "a hidden file"
    if file_name.lower().endswith(_TEMPORARY_SUFFIXES):
        return "a checksum or temporary file"
    if size_bytes == 0:
        return "empty"
    if not file_name.lower().endswith(PARQUET_SUFFIXES):
        return "not a Parquet file"
    return None


def is_worth_reporting(reason: str) -> bool:
    """Markers and hidden files are everywhere; a user wants to hear of the rest."""
    return reason in {"empty", "not a Parquet file"}


def table_format_root(key: str) -> tuple[str, str] | None:
    """The root of a table in another format that this object betrays, and what it is."""
    match = _ICEBERG_METADATA.fullmatch(key)
    if match is not None:
        above = f"{match['folder']}/" if match["folder"] else ""
        return above, "an Iceberg table; register its metadata file"
    folders = key.split("/")[:-1]
    for position, folder in enumerate(folders):
        if folder in _TABLE_FORMATS:
            return "".join(f"{above}/" for above in folders[:position]), _TABLE_FORMATS[folder]
    return None
