"""What a scan hands to other machines to inspect, and what comes back: both as bytes.

Pure.  Files are handed over in parts.  An answer names no file: it is for one part, row by row, and
sealed with a key that only the server and those who were let work for it know.
"""

import hashlib
import hmac
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection_codec import CODEC_VERSION

PART_FILES_MAX: Final = 1000
PART_FILES_MIN: Final = 20
PARTS_WANTED: Final = 200
"""Of a small scan: so many that a cluster has enough to share, and progress can be seen."""
PLACES_MAX: Final = 20
"""Folders that one part may lie in, if one session takes them."""
ANSWERS_BYTES_MAX: Final = 256 * 1024 * 1024
REASON_CHARACTERS_MAX: Final = 2000

_DIGEST_BYTES: Final = 12
_SEAL_BYTES: Final = 32
_LENGTH_BYTES: Final = 4
_NAME: Final = re.compile(r"part-\d{6}-[0-9a-f]{24}")


Fits = Callable[[Collection[str]], bool]
"""Whether one session can be let read so many folders, and no more than these."""


class Answer(NamedTuple):
    """What one file said, or why nothing can be read from it.  Neither: the server is to look."""

    inspection: bytes | None = None
    error: str | None = None


NOT_INSPECTED: Final = Answer()


@dataclass(frozen=True, slots=True)
class Part:
    """Files, and the folders that they lie in: keys that end with a slash."""

    files: tuple[StoredObject, ...]
    places: tuple[str, ...]


def parts_of(
    files: Iterable[StoredObject],
    *,
    base: str,
    own: Sequence[str] = (),
    fits: Fits,
    files_max: int,
) -> Iterator[Part]:
    """Cut the files below `base`, a folder's key or empty, in the order of keys, into parts.

    No part has a place that is the whole bucket, or that holds one of the folders `own`, where
    catalogs keep their tables, and none has more places than `fits` takes.  Files for which that
    cannot be are in no part.
    """
    tops: dict[str, str] = {}
    some: list[StoredObject] = []
    in_tops: set[str] = set()
    for file in files:
        folder = _folder(file.key)
        if folder not in tops:
            tops[folder] = _top(folder, base, own, fits)
        top = tops[folder]
        if not top:
            continue
        if len(some) == files_max or (top not in in_tops and not fits(in_tops | {top})):
            yield Part(tuple(some), _places(some, tops, fits))
            some, in_tops, tops = [], set(), {folder: top}
        some.append(file)
        in_tops.add(top)
    if some:
        yield Part(tuple(some), _places(some, tops, fits))


def files_a_part(files: int) -> int:
    return min(PART_FILES_MAX, max(PART_FILES_MIN, files // PARTS_WANTED))


def _folder(key: str) -> str:
    return key[: key.rfind("/") + 1]


def _top(folder: str, base: str, own: Sequence[str], fits: Fits) -> str:
    """The outermost folder around `folder` that may be opened, no further out than `base`.

    Empty if there is none.
    """
    for depth in range(max(1, base.count("/")), folder.count("/") + 1):
        outer = _cut(folder, depth)
        if not any(each.startswith(outer) for each in own):
            return outer if fits({outer}) else ""
    return ""


def _cut(folder: str, depth: int) -> str:
    """The folder around it at that depth; a folder less deep is itself."""
    return "/".join(folder.split("/")[:-1][:depth]) + "/"


def _places(files: Sequence[StoredObject], tops: Mapping[str, str], fits: Fits) -> tuple[str, ...]:
    """The innermost folders that all the files lie in, if they are not too many."""
    folders = {_folder(file.key) for file in files}
    places = {tops[folder] for folder in folders}
    for depth in range(max(folder.count("/") for folder in folders), 0, -1):
        inner = {_cut(folder, max(depth, tops[folder].count("/"))) for folder in folders}
        inner = {each for each in inner if not _is_below(each, inner)}
        if fits(inner):
            places = inner
            break
    return tuple(sorted(places))


def _is_below(place: str, places: set[str]) -> bool:
    return any(place != other and place.startswith(other) for other in places)


# Files on their way out.


def part_to_bytes(files: Sequence[StoredObject]) -> bytes:
    rows = [[file.key, file.size_bytes, file.etag] for file in files]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)


def part_from_bytes(data: bytes) -> list[StoredObject]:
    """The inverse of `part_to_bytes`, of bytes whose name was checked."""
    return [StoredObject(*row) for row in json.loads(zlib.decompress(data))]


def part_name(number: int, data: bytes) -> str:
    """Unlike the name of any other list of files."""
    digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
    return f"part-{number:06}-{digest}"


def is_named(name: str, data: bytes) -> bool:
    """True if these are the bytes that the name was made for."""
    return _NAME.fullmatch(name) is not None and name == part_name(int(name[5:11]), data)


# Answers on their way back.


def answers_to_bytes(answers: Sequence[Answer], *, part: str, seal: bytes) -> bytes:
    """The answers to the files of a part, in their order."""
    rows = [
        [None if each.inspection is None else len(each.inspection), each.error] for each in answers
    ]
    head = json.dumps([CODEC_VERSION, rows], separators=(",", ":")).encode()
    body = b"".join(
        [
            len(head).to_bytes(_LENGTH_BYTES, "big"),
            head,
            *(each.inspection for each in answers if each.inspection is not None),
        ]
    )
    return _sealed(part, body, seal) + body


def answers_from_bytes(data: bytes, *, part: str, files: int, seal: bytes) -> list[Answer]:
    """The answers to a part of so many files.  What inspections say is not looked at.

    Raises:
        ValueError: not sealed for this part, of another version, or not one answer for each file.
    """
    body = data[_SEAL_BYTES:]
    if not hmac.compare_digest(data[:_SEAL_BYTES], _sealed(part, body, seal)):
        raise ValueError("it does not come from whoever was let inspect these files")
    at = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "big")
    try:
        version, rows = json.loads(body[_LENGTH_BYTES:at])
        lengths = [(length, reason) for length, reason in rows]
    except (TypeError, RecursionError) as error:
        raise ValueError("it is no list of answers") from error
    if version != CODEC_VERSION:
        raise ValueError("it was made by another version of Graticule")
    if len(lengths) != files:
        raise ValueError(f"it has {len(lengths)} answers for {files} files")
    answers = []
    for length, reason in lengths:
        if length is None:
            answers.append(_without(reason))
            continue
        if type(length) is not int or not 0 < length <= len(body) - at or reason is not None:
            raise ValueError("it has an answer that is none")
        answers.append(Answer(body[at : at + length]))
        at += length
    if at != len(body):
        raise ValueError("it is longer or shorter than it says")
    return answers


def _without(reason: Any) -> Answer:
    if reason is None:
        return NOT_INSPECTED
    if not isinstance(reason, str) or not 0 < len(reason) <= REASON_CHARACTERS_MAX:
        raise ValueError("it has a reason that is none")
    if "\0" in reason:
        raise ValueError("it has a NUL in a reason")
    reason.encode()  # half a surrogate pair is a ValueError, too
    return Answer(None, reason)


def _sealed(part: str, body: bytes, seal: bytes) -> bytes:
    return hmac.digest(seal, f"{part}\n".encode() + body, "sha256")
