"""Which files and row groups of one snapshot an area may touch, as the server told it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from graticule.client.errors import ClientError
from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.crs import UNKNOWN_CRS, Crs

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that may match.  `row_groups` None: nobody can tell, so all of them.

    `data_file` and `deletes` are Iceberg content files, as in the tasks of a scan.
    """

    path: str
    size_bytes: int
    rows: int
    box_status: str
    boxes: tuple[BoundingBox, ...]
    row_groups: tuple[int, ...] | None
    row_group_count: int | None
    data_file: Mapping[str, Any]
    deletes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class FileListing:
    """The files, in the order of the snapshot, and what was said of all of them.

    `snapshot_id` is None for a table that nothing was written to; `reason` says why nothing could
    be left out.
    """

    snapshot_id: int | None
    column: str | None
    positions: tuple[str, str] | None
    crs: Crs
    compared_by: str
    reason: str | None
    totals: Mapping[str, int]
    files: tuple[ListedFile, ...]

    @classmethod
    def of(cls, pages: Iterable[Json]) -> Self:
        """From the pages of the server's answer.

        Raises:
            ClientError: the pages are not of one snapshot.
        """
        files: list[ListedFile] = []
        first: Json | None = None
        for page in pages:
            first = first or page
            if page["snapshot_id"] != first["snapshot_id"]:
                raise ClientError("the server answered with the files of two snapshots")
            files += [_file(file, page.get("delete_files") or []) for file in page["files"]]
        if first is None:
            raise ClientError("the server answered with nothing")
        positions = first["positions"]
        return cls(
            snapshot_id=first["snapshot_id"],
            column=first["column"],
            positions=None if positions is None else (positions[0], positions[1]),
            crs=UNKNOWN_CRS if first["crs"] is None else Crs(first["crs"]),
            compared_by=first["compared_by"],
            reason=first["reason"],
            totals=first["totals"],
            files=tuple(files),
        )

    @property
    def paths(self) -> list[str]:
        return [file.path for file in self.files]

    @property
    def has_deletes(self) -> bool:
        """True if rows of some of the files are deleted: who reads the files alone sees them."""
        return any(file.deletes for file in self.files)

    def __iter__(self) -> Iterator[ListedFile]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def _file(file: Json, deletes: Sequence[Json]) -> ListedFile:
    groups = file["row_groups"]
    return ListedFile(
        path=file["path"],
        size_bytes=file["size_bytes"],
        rows=file["rows"],
        box_status=file["box_status"],
        boxes=tuple(BoundingBox(*sides) for sides in file["boxes"]),
        row_groups=None if groups is None else tuple(group["index"] for group in groups),
        row_group_count=file["row_group_count"],
        data_file=file["data_file"],
        deletes=tuple(deletes[place] for place in file["deletes"]),
    )
