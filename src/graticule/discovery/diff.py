"""What a table was registered from against what lies there now.  Pure.

Known are only files that discovery itself brought into a table, so what engines wrote is never part
of a difference.  Two things are the same if ETag and size are: neither says so alone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from graticule.discovery.grouping import StoredObject

DELETED_PERCENT_MAX: Final = 20
DELETED_FILES_MAX: Final = 10
EVERYTHING_PERCENT: Final = 100
"""Whoever allows this much is not asked about anything."""


class FileState(StrEnum):
    """What became of a file that was found for a table."""

    TAKEN = "taken"
    """The table reads it, or did until an engine's commit took it out."""
    LEFT_OUT = "left-out"
    """It cannot be read, or does not fit the table."""
    FOREIGN = "foreign"
    """An engine brought it into the table by itself: it is the engine's to take out."""
    UNDONE = "undone"
    """A sync had brought it in, and was undone."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was when discovery last looked; `key` is relative to the bucket.

    `etag` is empty where only the size is known.  `manifest` is the name of the manifest that held
    its entry when it was last written: a hint, since engines rewrite manifests.
    """

    key: str
    etag: str
    size_bytes: int
    state: FileState = FileState.TAKEN
    reason: str = ""
    manifest: str = ""

    def is_still(self, found: StoredObject) -> bool:
        if self.size_bytes != found.size_bytes:
            return False
        return not self.etag or not found.etag or self.etag == found.etag


@dataclass(frozen=True, slots=True)
class Diff:
    """All that is not as it was, sorted by key.

    `forgotten` are files that are gone and were no part of the table.
    """

    added: tuple[StoredObject, ...] = ()
    overwritten: tuple[tuple[KnownFile, StoredObject], ...] = ()
    vanished: tuple[KnownFile, ...] = ()
    forgotten: tuple[KnownFile, ...] = ()
    unchanged_count: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.overwritten or self.vanished or self.forgotten)

    def first(self, files_max: int | None) -> tuple["Diff", int]:
        """So many of the files that are to be looked into, and how many are left for later.

        Those that were replaced come first: their table names what is not there any more.
        """
        waiting = len(self.overwritten) + len(self.added)
        if files_max is None or waiting <= files_max:
            return self, 0
        overwritten = self.overwritten[:files_max]
        added = self.added[: files_max - len(overwritten)]
        return replace(self, overwritten=overwritten, added=added), waiting - files_max

    def first_added(self, files_max: int) -> tuple["Diff", int]:
        """The same with so many new files at most; all that may take files out is in it."""
        waiting = max(0, len(self.added) - files_max)
        return (replace(self, added=self.added[:files_max]), waiting) if waiting else (self, 0)

    @property
    def vanished_keys(self) -> list[str]:
        return [file.key for file in self.vanished]


def diff(
    known: Mapping[str, KnownFile],
    present: Iterable[StoredObject],
    *,
    again: bool = False,
) -> Diff:
    """Compare what is known of a table's files with what is there.

    `again` takes up anew what was left out or undone, though it has not changed.
    """
    comparison = Comparison(again=again)
    comparison.add(known.values(), present)
    return comparison.diff()


class Comparison:
    """A difference that grows by ranges of keys, each of which is compared once and whole."""

    def __init__(self, *, again: bool = False) -> None:
        self._again = again
        self._added: list[StoredObject] = []
        self._overwritten: list[tuple[KnownFile, StoredObject]] = []
        self._gone: list[KnownFile] = []
        self._unchanged = 0

    def add(self, known: Iterable[KnownFile], present: Iterable[StoredObject]) -> None:
        """All that is known in a range, and all that lies there."""
        rest = {found.key: found for found in present}
        for before in known:
            found = rest.pop(before.key, None)
            if found is None:
                self._gone.append(before)
            elif self._is_settled(before, found):
                self._unchanged += 1
            else:
                self._overwritten.append((before, found))
        self._added += rest.values()

    def add_unchanged(self, count: int) -> None:
        """A range of so many files in which everything is as it is known."""
        self._unchanged += count

    def diff(self) -> Diff:
        gone = sorted(self._gone, key=_key)
        return Diff(
            added=tuple(sorted(self._added, key=_key)),
            overwritten=tuple(sorted(self._overwritten, key=lambda pair: pair[0].key)),
            vanished=tuple(file for file in gone if file.state is FileState.TAKEN),
            forgotten=tuple(file for file in gone if file.state is not FileState.TAKEN),
            unchanged_count=self._unchanged,
        )

    def _is_settled(self, before: KnownFile, found: StoredObject) -> bool:
        if before.state is FileState.FOREIGN:
            return True
        is_out = before.state in {FileState.LEFT_OUT, FileState.UNDONE}
        return before.is_still(found) and not (self._again and is_out)


def _key(file: StoredObject | KnownFile) -> str:
    return file.key


@dataclass(frozen=True, slots=True)
class DeletionGuard:
    """How many of a table's files may leave it at once without anybody being asked.

    An emptied listing is far more often a lost permission, a wrong prefix or another bucket than
    what somebody wanted, so all files of a table at once ask, however few they are.
    """

    percent_max: int = DELETED_PERCENT_MAX
    files_max: int = DELETED_FILES_MAX
    confirmed: frozenset[str] = field(default_factory=frozenset)
    """Keys that an admin was shown and said yes to."""
    confirmed_digest: str = ""
    """Of all of them, where they were too many to be kept one by one."""

    def stops(self, lost: Collection[str], taken: int, *, perhaps: int = 0) -> bool:
        """True if somebody has to say yes before these files leave a table of `taken`.

        `perhaps` so many more will, by all that is known: a limit of how many files a sync looks
        into must not take a table apart bit by bit.
        """
        if self.confirmed_digest and digest_of(lost) == self.confirmed_digest:
            return False
        asked_for = sum(key not in self.confirmed for key in lost)
        if not asked_for:
            return False
        if len(lost) + perhaps >= taken:
            return self.percent_max < EVERYTHING_PERCENT
        asked_for += perhaps
        return asked_for > self.files_max and asked_for * 100 > self.percent_max * taken


def digest_of(keys: Iterable[str]) -> str:
    """Says of two sets of keys whether they are the same."""
    return blake2b("\n".join(sorted(keys)).encode(), digest_size=16).hexdigest()
