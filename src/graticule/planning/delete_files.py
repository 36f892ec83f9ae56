"""Which delete files apply to a data file.

Spec: https://iceberg.apache.org/spec/#scan-planning
"""

from collections.abc import Iterator, Sequence

from graticule.planning.files import EQUALITY_DELETES, DataFileEntry


def deletes_of(entry: DataFileEntry, deletes: Sequence[DataFileEntry]) -> Iterator[int]:
    """The positions in `deletes` of those that may delete rows of `entry`.

    A position delete applies to data of its own commit or older, an equality delete only to older
    data; both within one partition, but an equality delete without a partition applies everywhere.
    A delete that names one data file applies to that file alone.  What has no sequence number is
    older than everything (format version 1).
    """
    age = entry.sequence_number or 0
    for position, delete in enumerate(deletes):
        delete_age = delete.sequence_number or 0
        is_equality = delete.content == EQUALITY_DELETES
        if delete_age < age or (is_equality and delete_age == age):
            continue
        if delete.referenced_data_file is not None:
            if delete.referenced_data_file == entry.path:
                yield position
            continue
        same_partition = (delete.spec_id, delete.partition) == (entry.spec_id, entry.partition)
        if same_partition or (is_equality and not delete.partition):
            yield position
