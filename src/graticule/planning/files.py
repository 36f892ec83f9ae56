"""One entry of a manifest as the planner sees it.  A value only: who reads and writes manifests
lives in `storage`, who judges entries lives next door.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

DATA: Final = "data"
POSITION_DELETES: Final = "position-deletes"
EQUALITY_DELETES: Final = "equality-deletes"


@dataclass(frozen=True, slots=True)
class DataFileEntry:
    """A live data or delete file.

    `partition` holds values in the order of the spec's fields, in the forms of
    `iceberg.values`: dates and times are integers, as in manifests.  Metrics are keyed by field
    id; bounds are in the binary single-value serialisation.  An absent metric means unknown.
    """

    path: str
    size_bytes: int
    record_count: int
    spec_id: int
    partition: tuple[object, ...] = ()
    content: str = DATA
    file_format: str = "parquet"
    sort_order_id: int | None = None
    column_sizes: Mapping[int, int] = field(default_factory=dict)
    value_counts: Mapping[int, int] = field(default_factory=dict)
    null_value_counts: Mapping[int, int] = field(default_factory=dict)
    nan_value_counts: Mapping[int, int] = field(default_factory=dict)
    lower_bounds: Mapping[int, bytes] = field(default_factory=dict)
    upper_bounds: Mapping[int, bytes] = field(default_factory=dict)
    split_offsets: tuple[int, ...] = ()
    equality_ids: tuple[int, ...] = ()
    sequence_number: int | None = None
    file_sequence_number: int | None = None
    key_metadata: bytes | None = None
    referenced_data_file: str | None = None
    content_offset: int | None = None
    content_size_bytes: int | None = None
    first_row_id: int | None = None
