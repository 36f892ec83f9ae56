"""Table properties: which ones are refused, which ones only steer the server, and typed reads.

PyIceberg merges a table's properties into the configuration of its file access.  Whoever may
write a table could so send another reader's credentials to a host of their own, or have a class of
their own loaded: such properties are refused.
"""

import re
from collections.abc import Mapping
from typing import Final

from graticule.domain.errors import InvalidUpdate

_FILE_ACCESS: Final = re.compile(
    r"(s3|client|adls|gcs|gs|hdfs|hf|oss|fs|io-impl|py-io-impl|signer|rest|header)\b"
    r"|(uri|token|credential|credentials|auth|oauth2-server-uri|warehouse)(\.|$)",
    re.IGNORECASE,
)

FORMAT_VERSION: Final = "format-version"
DELETE_AFTER_COMMIT: Final = "write.metadata.delete-after-commit.enabled"
GC_ENABLED: Final = "gc.enabled"
PREVIOUS_VERSIONS_MAX: Final = "write.metadata.previous-versions-max"
PREVIOUS_VERSIONS_MAX_DEFAULT: Final = 100
PARQUET_COMPRESSION: Final = "write.parquet.compression-codec"
PARQUET_COMPRESSION_OF_NEW_TABLES: Final = "zstd"

RESERVED: Final = frozenset(
    {
        FORMAT_VERSION, "uuid", "snapshot-count", "current-snapshot-summary",
        "current-snapshot-id", "current-snapshot-timestamp-ms", "current-schema",
        "default-partition-spec", "default-sort-order",
    }
)  # fmt: skip
"""Control the server in a create request and are not stored."""


def check_properties(properties: Mapping[str, str]) -> None:
    """Refuse properties that would redirect clients' file access.

    Raises:
        InvalidUpdate: names the property.
    """
    for key in properties:
        if _FILE_ACCESS.match(key):
            raise InvalidUpdate(
                f"the table property `{key[:200]}` is refused: "
                "it would configure file access of everybody who reads the table"
            )


def persisted_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """What a new table keeps: all but the reserved ones, and the defaults of new tables."""
    return {PARQUET_COMPRESSION: PARQUET_COMPRESSION_OF_NEW_TABLES} | {
        key: value for key, value in properties.items() if key not in RESERVED
    }


def previous_versions_max(properties: Mapping[str, str]) -> int:
    """How many entries the metadata log keeps: at least one; the default if it is no number."""
    try:
        return max(1, int(properties.get(PREVIOUS_VERSIONS_MAX, PREVIOUS_VERSIONS_MAX_DEFAULT)))
    except ValueError:
        return PREVIOUS_VERSIONS_MAX_DEFAULT


def allows_purge(properties: Mapping[str, str]) -> bool:
    """False if the table's files may be shared, so that nobody may delete them with it."""
    return properties.get(GC_ENABLED, "true").strip().lower() != "false"


def deletes_after_commit(properties: Mapping[str, str]) -> bool:
    return properties.get(DELETE_AFTER_COMMIT, "").strip().lower() == "true"
