"""Files in formats that are no tables where they lie: listed, with a conversion on offer.  Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from graticule.discovery.formats import (
    CONVERTIBLE,
    SHAPEFILE_NEEDS,
    convertible_format,
    suffix_of,
)
from graticule.discovery.grouping import StoredObject
from graticule.discovery.names import TableName, is_generic
from graticule.discovery.path_grammar import parse_path
from graticule.discovery.proposal import ConvertibleProposal

FILES_OF_THEIR_OWN_MAX: Final = 10
"""More files of one format in one folder are parts of one dataset."""


@dataclass(frozen=True, slots=True)
class ConvertibleDraft:
    """A proposal before it has a name."""

    identity: str
    words: tuple[str, ...]
    format: str
    files: tuple[StoredObject, ...]
    lacking: tuple[str, ...] = ()

    def named(self, name: TableName) -> ConvertibleProposal:
        count = "one file" if len(self.files) == 1 else f"{len(self.files)} files"
        reasons = [f"{count} of the format {self.format}, which no engine reads as a table"]
        if self.format == "CSV":
            reasons.append("without columns of positions or WKT it becomes a table of no geometry")
        reasons += [f"without the `{suffix}` that belongs to it" for suffix in self.lacking]
        return ConvertibleProposal(
            name=name.name,
            namespace=name.namespace,
            format=self.format,
            keys=tuple(stored.key for stored in self.files),
            size_bytes=sum(stored.size_bytes for stored in self.files),
            reasons=tuple(reasons),
        )


def convertible_drafts(
    objects: Sequence[StoredObject], companions: frozenset[str] = frozenset(), *, base: str = ""
) -> list[ConvertibleDraft]:
    """One for each file that has a name of its own, one for the many or nameless of a folder.

    `companions` are the keys of files that belong to Shapefiles.
    """
    folders: defaultdict[tuple[str, tuple[str, ...], str], list[StoredObject]] = defaultdict(list)
    for stored in objects:
        path = parse_path(stored.key, base=base)
        format_ = convertible_format(path.file_name) or ""
        folders[path.root, path.words, format_].append(stored)
    drafts = []
    for (root, words, format_), files in sorted(folders.items()):
        own = [stored for stored in files if not is_generic(_stem(stored.key))]
        if len(own) > FILES_OF_THEIR_OWN_MAX:
            own = []
        for stored in own:
            lacking = _lacking(stored.key, companions) if format_ == "Shapefile" else ()
            drafts.append(
                ConvertibleDraft(
                    stored.key, (*words, _stem(stored.key)), format_, (stored,), lacking
                )
            )
        rest = tuple(stored for stored in files if stored not in own)
        if rest:
            identity = f"{root}*{format_}"
            drafts.append(ConvertibleDraft(identity, words, format_, rest))
    return drafts


def _stem(key: str) -> str:
    file_name = key.rpartition("/")[2]
    return file_name[: len(file_name) - len(suffix_of(file_name, tuple(CONVERTIBLE)))]


def _lacking(key: str, companions: frozenset[str]) -> tuple[str, ...]:
    if not key.lower().endswith(".shp"):
        return ()
    stem = key[: -len(".shp")]
    return tuple(
        suffix
        for suffix in SHAPEFILE_NEEDS
        if not {f"{stem}{suffix}", f"{stem}{suffix.upper()}"} & companions
    )
