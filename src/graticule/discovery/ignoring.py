"""Patterns of keys that a catalog does not want to hear of.  Text only.

As in a `.gitignore`: a pattern with a slash inside is meant from the catalog's storage down, one
without is meant at any depth; `*` stays within a folder, `**` does not; a folder means all of it.
Nothing else is a sign: keys may have brackets in them, and `[` stands for itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from graticule.domain.errors import InvalidRequest

PATTERNS_MAX: Final = 100
PATTERN_CHARACTERS_MAX: Final = 512
DEEP_STARS_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class Ignored:
    """`root` is the key prefix that anchored patterns begin at: empty, or with a slash at its end.

    Raises:
        InvalidRequest: too many patterns, or one that is empty or too long.
    """

    patterns: tuple[str, ...] = ()
    root: str = ""
    _expressions: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checked_patterns(self.patterns)
        compiled = tuple(re.compile(_translate(pattern)) for pattern in self.patterns)
        object.__setattr__(self, "_expressions", compiled)

    def by(self, key: str) -> str | None:
        """The first pattern that the key of an object matches."""
        if not self._expressions or not key.startswith(self.root):
            return None
        path = key[len(self.root) :]
        for pattern, expression in zip(self.patterns, self._expressions, strict=True):
            if expression.match(path):
                return pattern
        return None


def checked_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """The patterns, if all of them can be used.

    Raises:
        InvalidRequest: too many, or one that is empty or too long.
    """
    if len(patterns) > PATTERNS_MAX:
        raise InvalidRequest(f"{len(patterns)} patterns; at most {PATTERNS_MAX} are kept")
    for pattern in patterns:
        if not pattern.strip("/"):
            raise InvalidRequest(f"the pattern `{pattern}` names nothing; write for instance `tmp`")
        if pattern.count("**") > DEEP_STARS_MAX:
            raise InvalidRequest(f"a pattern has more than {DEEP_STARS_MAX} times `**`")
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise InvalidRequest(
                f"a pattern has {len(pattern)} characters; at most {PATTERN_CHARACTERS_MAX} are"
                " allowed"
            )
    return tuple(patterns)


def _translate(pattern: str) -> str:
    """A regular expression that is matched from the start of a path."""
    is_folder = pattern.endswith("/")
    segments = [segment for segment in pattern.strip("/").split("/") if segment]
    anywhere = "/" not in pattern.rstrip("/")
    parts = ["(?:.*/)?"] if anywhere else []
    for position, segment in enumerate(segments):
        is_last = position == len(segments) - 1
        if segment == "**":
            parts.append(".+" if is_last else "(?:.*/)?")
        else:
            parts.append(_segment(segment) + ("" if is_last else "/"))
    # What matches a folder matches everything in it.
    parts.append("/" if is_folder else "(?:/|$)" if segments[-1] != "**" else "$")
    return "".join(parts)


def _segment(segment: str) -> str:
    """Atomic groups take what is between two stars where it comes first, and never look back:
    matching takes as long as the key is.
    """
    first, *rest = (_literal(part) for part in re.split(r"\*+", segment))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}(?=/|$)"


def _literal(part: str) -> str:
    return "[^/]".join(map(re.escape, part.split("?")))


NOTHING_IGNORED: Final = Ignored()
