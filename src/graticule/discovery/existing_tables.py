"""Iceberg tables that lie in the bucket already: which metadata file is current.  Text only.

They are registered as they are.  The newest file is told by the number in its name; a
`version-hint.text`, which only tables of the file system kind have, is asked first by whoever can
read it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_METADATA: Final = re.compile(
    r"(?P<root>(?:.*/)?)metadata/"
    r"(?:v(?P<version>\d+)|(?P<number>\d+)-[^/]*|[^/]+?)(?:\.gz)?\.metadata\.json(?:\.gz)?"
)
"""`….gz.metadata.json` and `….metadata.json.gz` are both in use."""

_HINT: Final = re.compile(r"(?P<root>(?:.*/)?)metadata/version-hint\.text")


@dataclass(frozen=True, slots=True)
class ExistingTable:
    """`root` is its folder.  `metadata_keys` come newest first; `hint_key` is None without one."""

    root: str
    metadata_keys: tuple[str, ...]
    hint_key: str | None = None

    def current(self, hint: str | None = None) -> str:
        """The metadata file that a version hint names, else the newest."""
        version = (hint or "").strip()
        if version.isdigit():
            for key in self.metadata_keys:
                match = _METADATA.fullmatch(key)
                if match is not None and match["version"] == version:
                    return key
        return self.metadata_keys[0]


def existing_tables(keys: Iterable[str]) -> list[ExistingTable]:
    """The Iceberg tables that some of these keys belong to, by root."""
    found: dict[str, list[tuple[int, str]]] = {}
    hints: dict[str, str] = {}
    for key in keys:
        if "metadata/" not in key:
            continue
        match = _METADATA.fullmatch(key)
        if match is not None:
            number = match["version"] or match["number"]
            found.setdefault(match["root"], []).append((int(number) if number else -1, key))
        elif hint := _HINT.fullmatch(key):
            hints[hint["root"]] = key
    return [
        ExistingTable(root, _newest_first(numbered), hints.get(root))
        for root, numbered in sorted(found.items())
    ]


def _newest_first(numbered: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(key for _, key in sorted(numbered, reverse=True))
