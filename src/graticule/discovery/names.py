"""Names of tables and namespaces from paths: legal everywhere, readable, and always the same.

A name is made of a dataset's own path and of nothing else, so that it does not depend on the order
of a listing or on what is added later.  Only paths that differ in letters which no name may hold
come out the same; what tells them apart is made of their paths, too.
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

NAME_CHARACTERS_MAX: Final = 128
LAYER_CHARACTERS_MAX: Final = 100

_MARK_CHARACTERS: Final = 6
_ILLEGAL: Final = re.compile(r"[^a-z0-9_]+")
_GENERIC_STEM: Final = re.compile(
    r"part[-_.]?\d.*"
    r"|(?:part|data|file|chunk|output|result|export|batch|run|tile)?[\d\W_]*"
    r"|(?=.*\d)[0-9a-f][0-9a-f-]{7,}(?:[-_.].*)?"
    r"|(?=.*\d)\d+_\d+_.*",
    re.IGNORECASE,
)
"""What writers call their files when nobody asks: `part-00000-<uuid>.c000`, `data_0`, hex."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be named: `identity` is a root or a file's key, `words` its path in folder names,
    the last of which is its own.
    """

    identity: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableName:
    """`namespace` is empty for what lies at the top of what was looked through."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


def table_name(text: str) -> str:
    """Lower case, digits and underscores; never empty, never beginning with a digit.

    Accents are dropped, percent escapes undone.  Text without a single letter or digit of ASCII, or
    that is too long, ends in a mark of its own.
    """
    name = _letters_of(text)
    if not name:
        return f"table_{mark(text)}" if text else "table"
    name = f"t_{name}" if name[0].isdigit() else name
    if len(name) <= NAME_CHARACTERS_MAX:
        return name
    return f"{name[: NAME_CHARACTERS_MAX - _MARK_CHARACTERS - 1].rstrip('_')}_{mark(text)}"


def names_of_layers(table: str, layers: Sequence[str]) -> list[str]:
    """What the tables are called that the layers of one dataset become: the only one as asked."""
    if len(layers) == 1:
        return [table]
    words = [_letters_of(layer)[:LAYER_CHARACTERS_MAX] for layer in layers]
    return [
        f"{table}_{word}"
        if word and words.count(word) == 1
        else "_".join(filter(None, (table, word, mark(layer))))
        for word, layer in zip(words, layers, strict=True)
    ]


def _letters_of(text: str) -> str:
    """The part of a name that the text makes; empty if it has no letter or digit of ASCII."""
    plain = unicodedata.normalize("NFKD", unquote(text).lower())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _ILLEGAL.sub("_", plain).strip("_")


def mark(text: str) -> str:
    """A few letters that are the same for the same text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_MARK_CHARACTERS]


def is_generic(stem: str) -> bool:
    """True if a file's name says nothing about what is in it."""
    return _GENERIC_STEM.fullmatch(stem) is not None


def assign_names(
    wanted: Sequence[Wanted],
    *,
    is_taken: Callable[[str, TableName], bool] = lambda _identity, _name: False,
) -> dict[str, TableName]:
    """A different name for each identity.

    Of several with the same name, the one that is spelled so keeps it, and the others get a mark;
    all of them do if something outside has the name, which `is_taken` says.
    """
    names: dict[str, TableName] = {}
    rivals: defaultdict[TableName, list[Wanted]] = defaultdict(list)
    for each in wanted:
        rivals[plain_name(each.words)].append(each)
    for name, several in rivals.items():
        several.sort(key=lambda each: (not _is_spelled(each.words, name), each.identity))
        for position, each in enumerate(several):
            free = not position and not is_taken(each.identity, name)
            names[each.identity] = name if free else _marked(name, each.identity)
    return names


def plain_name(words: Sequence[str]) -> TableName:
    """The name that a path gives by itself."""
    *above, own = words or ("",)
    namespace = table_name("_".join(table_name(word) for word in above)) if above else ""
    return TableName(namespace, table_name(own))


def flat_names(names: Sequence[TableName]) -> dict[TableName, str]:
    """Names for one namespace together: those that would be the same get their own in front."""
    by_name: defaultdict[str, list[TableName]] = defaultdict(list)
    for name in names:
        by_name[name.name].append(name)
    return {
        name: name.name if len(several) == 1 or not name.namespace else _joined(name)
        for several in by_name.values()
        for name in several
    }


def _joined(name: TableName) -> str:
    joined = f"{name.namespace}_{name.name}"
    return joined if len(joined) <= NAME_CHARACTERS_MAX else table_name(joined)


def _is_spelled(words: Sequence[str], name: TableName) -> bool:
    return "_".join(words[:-1]) == name.namespace and (not words or words[-1] == name.name)


def _marked(name: TableName, identity: str) -> TableName:
    room = NAME_CHARACTERS_MAX - _MARK_CHARACTERS - 1
    return TableName(name.namespace, f"{name.name[:room].rstrip('_')}_{mark(identity)}")
