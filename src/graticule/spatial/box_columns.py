"""Which columns of a table hold boxes or positions: found by name, judged by nobody here."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
_POSITION_NAMES: Final = {
    "lon": ("lat", "latitude"),
    "lng": ("lat", "latitude"),
    "long": ("lat", "latitude"),
    "longitude": ("latitude", "lat"),
    "x": ("y",),
}
_WORDS: Final = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """The full names of the columns that bound a row; for positions xmin and xmax are the same."""

    xmin: str
    ymin: str
    xmax: str
    ymax: str

    @classmethod
    def of_position(cls, x: str, y: str) -> "BoxColumns":
        return cls(x, y, x, y)

    @property
    def names(self) -> tuple[str, str, str, str]:
        return (self.xmin, self.ymin, self.xmax, self.ymax)


FILE_BOX_COLUMNS: Final = BoxColumns("file_xmin", "file_ymin", "file_xmax", "file_ymax")
"""Virtual columns: no file holds them, each file's partition values are their constants."""


def find_box_columns(names: Iterable[str]) -> list[BoxColumns]:
    """Every quadruple `…xmin`, `…ymin`, `…xmax`, `…ymax`, flat (`bbox_`) or nested (`bbox.`).

    In the order in which the xmin columns come.  `file_xmin` and its companions count as well.
    """
    known = dict.fromkeys(names)
    found = []
    for name in known:
        if name.lower().endswith(_SIDES[0]):
            stem, side = name[:-4], name[-4:]
            spelled = [stem + (word.upper() if side.isupper() else word) for word in _SIDES]
            if all(candidate in known for candidate in spelled):
                found.append(BoxColumns(*spelled))
    return found


def find_position_columns(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs such as `lon` and `lat`, or `pickup_longitude` and `pickup_latitude`, x first.

    The word must stand on its own at the beginning or the end of the name, and the rest of the two
    names must be the same.
    """
    known = list(dict.fromkeys(names))
    by_lower = {name.lower(): name for name in known}
    found: list[tuple[str, str]] = []
    taken: set[str] = set()
    for name in known:
        partners = (by_lower[other] for other in _partners(name.lower()) if other in by_lower)
        partner = next((other for other in partners if not {name, other} & taken), None)
        if partner is not None:
            found.append((name, partner))
            taken |= {name, partner}
    return found


def _partners(name: str) -> Iterator[str]:
    """`name` with its x word, at either end, replaced by each y word."""
    words = list(_WORDS.finditer(name))
    for match in words[-1:] + words[:1]:
        for y_word in _POSITION_NAMES.get(match.group(), ()):
            yield name[: match.start()] + y_word + name[match.end() :]
