"""What the key of an object says: partition values, and whether it is data at all.  Text only.

Sources: Hive's partition folders (`key=value`, escaped like URLs), and Hadoop's rule that names
with a leading `_` or `.` are hidden.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from graticule.discovery.formats import (
    PARQUET_SUFFIXES,
    suffix_of,
    why_no_table,
)
from graticule.discovery.names import is_generic
from graticule.discovery.value_folders import FolderKind, kind_of

HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
"""Hive's spelling of a partition value that is null or empty."""

NOT_PARQUET: Final = "not a Parquet file"

FOLDERS_REMEMBERED: Final = 1024
"""Files come folder by folder."""

_HIVE_SEGMENT: Final = re.compile(r"([^=/]+)=([^/]*)")
_PLAIN_FILE: Final = re.compile(r"(?:[^/._][^/]*+/)*+[^/._][^/]*+(?<=\.parquet)")
"""What is certainly no hidden and no temporary file: nearly all that there are."""
_TEMPORARY_SUFFIXES: Final = (".crc", ".tmp", ".temp", ".inprogress", "._copying_")


@dataclass(frozen=True, slots=True)
class HiveValue:
    """One partition folder: `value` is unescaped text, None for Hive's null."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class DataPath:
    """The parts of a data file's key, below the folder that is looked through.

    `root` is the folder that its table would have: above the first folder whose name is a value
    and no word, else the file's own; empty, or with a trailing slash.  `words` are the folders with
    names of their own, also those between or below values; `values` are the others.
    """

    key: str
    root: str
    file_name: str
    words: tuple[str, ...]
    values: tuple[str, ...]
    hive: tuple[HiveValue, ...]

    @property
    def hive_keys(self) -> tuple[str, ...]:
        return tuple(value.key for value in self.hive)

    @property
    def folder(self) -> str:
        return self.key[: len(self.key) - len(self.file_name)]

    @property
    def stem(self) -> str:
        suffix = suffix_of(self.file_name, PARQUET_SUFFIXES)
        return self.file_name[: len(self.file_name) - len(suffix)]


def parse_path(key: str, *, base: str = "") -> DataPath:
    """Split a key below `base`.

    Folders between or below Hive's partition folders say nothing and are passed over.
    """
    end = key.rfind("/") + 1
    root, words, values, hive = _parse_folders(key[len(base) : end], base)
    return DataPath(key, root, key[end:], words, values, hive)


@lru_cache(FOLDERS_REMEMBERED)
def _parse_folders(
    path: str, base: str
) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[HiveValue, ...]]:
    """Root, words, values and partition values of a folder: one for all of its files."""
    folders = path.split("/")[:-1]
    hive: list[HiveValue] = []
    words: list[str] = []
    values: list[str] = []
    root_depth = len(folders)
    for depth, folder in enumerate(folders):
        value = parse_hive_segment(folder)
        if value is not None:
            hive.append(value)
        elif hive:
            continue
        elif kind_of(folder) is FolderKind.WORD:
            words.append(folder)
            continue
        else:
            values.append(folder)
        root_depth = min(root_depth, depth)
    root = base + "".join(f"{folder}/" for folder in folders[:root_depth])
    return root, tuple(words), tuple(values), tuple(hive)


def parse_hive_segment(segment: str) -> HiveValue | None:
    match = _HIVE_SEGMENT.fullmatch(segment)
    if match is None:
        return None
    key, value = unquote(match[1]), unquote(match[2])
    return HiveValue(key, None if value in {"", HIVE_NULL} else value)


def reason_to_ignore(key: str, size_bytes: int) -> str | None:
    """Why an object is no data file of its own; None if it may be one."""
    if size_bytes and _PLAIN_FILE.fullmatch(key):
        return None
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
    if file_name.lower().endswith(PARQUET_SUFFIXES):
        return None
    if "." not in file_name and is_generic(file_name):
        # What Hive, Impala and UNLOAD write has no suffix; only reading shows what it is.
        return None
    return why_no_table(file_name) or NOT_PARQUET


def is_worth_reporting(reason: str) -> bool:
    """Markers and hidden files are everywhere; a user wants to hear of the rest."""
    return not reason.startswith(("a folder marker", "in the hidden", "a hidden", "a checksum"))
