"""The versions of the table format that this server writes, and what begins with which."""

from typing import Final

from graticule.domain.errors import InvalidRequest

FORMAT_VERSION_DEFAULT: Final = 2
FORMAT_VERSION_MAX: Final = 3

SEQUENCE_NUMBERS: Final = 2
"""Version 2 brought sequence numbers, and did away with the single `schema` of version 1."""
ROW_LINEAGE: Final = 3
"""Version 3 brought row ids, default values and the geospatial types."""

NO_SNAPSHOT: Final = -1
"""Versions 1 and 2 write this as `current-snapshot-id` of an empty table; version 3 writes null."""


def check_supported(version: int) -> int:
    """The version itself.

    Raises:
        InvalidRequest: not 1, 2 or 3.
    """
    if not 1 <= version <= FORMAT_VERSION_MAX:
        raise InvalidRequest(
            f"Unsupported format version: v{version} (supported: v{FORMAT_VERSION_MAX})"
        )
    return version
