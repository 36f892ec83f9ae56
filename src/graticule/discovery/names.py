"""Table names from paths: legal everywhere, readable, and the same in the next scan."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

TABLE_NAME_CHARACTERS_MAX: Final = 128

_ILLEGAL: Final = re.compile(r"[^a-z0-9_]+")
_GENERIC_STEM: Final = re.compile(
    r"part[-_.]?\d.*"
    r"|(?:part|data|file|chunk|output|result|export|batch|run)?[\d\W_]*"
    r"|(?=.*\d)[0-9a-f][0-9a-f-]{7,}(?:[-_.].*)?",
    re.IGNORECASE,
)
"""What writers call their files when nobody asks: `part-00000-<uuid>.c000`, `data_0`, hex."""


def table_name(text: str) -> str:
    """Lower case, digits and underscores; never empty, never beginning with a digit."""
    name = _ILLEGAL.sub("_", text.lower()).strip("_")[:TABLE_NAME_CHARACTERS_MAX].rstrip("_")
    if not name:
        return "table"
    return f"t_{name}"[:TABLE_NAME_CHARACTERS_MAX] if name[0].isdigit() else name


def is_generic(stem: str) -> bool:
    """True if a file's name says nothing about what is in it."""
    return _GENERIC_STEM.fullmatch(stem) is not None


def assign_names(
    wanted: Sequence[tuple[str, str]], *, taken: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A different name for each identity (a root, or a file's key), given (identity, path) pairs.

    `taken` are the names of identities that are registered already: they keep theirs.  Who comes
    second to a name gets the folder above in front of it, then a number.
    """
    names = dict(taken or {})
    used = set(names.values())
    for identity, path in sorted(wanted):
        if identity in names:
            continue
        segments = [segment for segment in path.split("/") if segment]
        name = table_name(segments[-1] if segments else "")
        for depth in range(2, len(segments) + 1):
            if name not in used:
                break
            name = table_name("_".join(segments[-depth:]))
        numbered, number = name, 2
        while numbered in used:
            numbered, number = f"{name}_{number}", number + 1
        names[identity] = numbered
        used.add(numbered)
    return {identity: names[identity] for identity, _ in wanted}
