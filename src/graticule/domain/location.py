"""Places in an object store as values.  Text only: nothing here talks to a store.

Why so strict: a location ends up inside an IAM session policy, where `*`, `?` and `$` are
patterns, and a careless prefix test opens the neighbour (`t1` and `t10`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from graticule.domain.errors import InvalidLocation

PLAIN_KEY_CHARACTERS_MAX: Final = 512
LOCATION_CHARACTERS_MAX: Final = 1024
SCHEMES: Final = ("s3", "s3a", "s3n")

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_PLAIN_KEY: Final = re.compile(r"(?:[A-Za-z0-9_=][\w=.\-]*+/)*+[A-Za-z0-9_=][\w=.\-]*+", re.ASCII)
_KEY: Final = re.compile(r"[\w=+@!,.:~()\- %/]*")
_INTEGRATION_PATH: Final = re.compile(r"[A-Za-z0-9_=\-/]*")


def is_plain_key(key: str) -> bool:
    """True if a key is certainly safe in a location: of others `Location.parse` knows."""
    return len(key) <= PLAIN_KEY_CHARACTERS_MAX and _PLAIN_KEY.fullmatch(key) is not None


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """`s3://bucket/key`, the key without slashes at its ends; an empty key is the bucket."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse a location that somebody else wrote.

        `s3a` and `s3n` are spellings of `s3`; one trailing slash is dropped.

        Raises:
            InvalidLocation: not an S3 URI, or with characters or segments that are not safe inside
                a policy: anything but letters, digits, space and `_ = + @ ! , . : ~ ( ) - %`;
                empty, `.` or `..` segments.
        """
        if len(uri) > LOCATION_CHARACTERS_MAX:
            raise InvalidLocation(
                f"the location is {len(uri)} characters long; "
                f"at most {LOCATION_CHARACTERS_MAX} are allowed"
            )
        scheme, separator, rest = uri.partition("://")
        if not separator or scheme.lower() not in SCHEMES:
            raise InvalidLocation(f"`{uri}` is not an S3 location; write `s3://bucket/path`")
        bucket, _, key = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise InvalidLocation(f"`{bucket}` in `{uri}` is not a legal bucket name")
        key = key.removesuffix("/")
        if not _KEY.fullmatch(key):
            raise InvalidLocation(
                f"`{uri}` contains a character that is not safe in a storage location; "
                "use letters, digits, spaces and _ = + @ ! , . : ~ ( ) - % /"
            )
        if key and any(segment in {"", ".", ".."} for segment in key.split("/")):
            raise InvalidLocation(f"`{uri}` contains an empty, `.` or `..` segment")
        return cls(bucket, key)

    @classmethod
    def stored(cls, uri: str) -> Self:
        """Read a location that this server wrote itself, and checked before it did."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return cls(bucket, key.removesuffix("/"))

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    @property
    def prefix(self) -> str:
        """The URI with exactly one trailing slash: what everything below it starts with."""
        return self.uri + "/"

    @property
    def key_prefix(self) -> str:
        """The key with a trailing slash, or empty for the whole bucket."""
        return self.key + "/" if self.key else ""

    @property
    def name(self) -> str:
        """The last segment; the bucket's name for a bucket."""
        return self.key.rpartition("/")[2] or self.bucket

    def is_within(self, parent: "Location") -> bool:
        """True for the parent itself and below it; never for a sibling such as `t1` and `t10`."""
        return self.bucket == parent.bucket and (self.key + "/").startswith(parent.key_prefix)

    def overlaps(self, other: "Location") -> bool:
        return self.is_within(other) or other.is_within(self)

    def join(self, *segments: str) -> "Location":
        """A location below; segments are trusted, they come from this server."""
        parts = [segment.strip("/") for segment in segments if segment.strip("/")]
        return Location(self.bucket, "/".join(([self.key] if self.key else []) + parts))

    def ancestors(self) -> Iterator["Location"]:
        """Every location above this one, nearest first, ending with the bucket."""
        key = self.key
        while key:
            key = key.rpartition("/")[0]
            yield Location(self.bucket, key)

    def __str__(self) -> str:
        return self.uri


def parse_integration_path(path: str) -> Location:
    """Parse the S3 path of a storage integration: `s3://bucket[/prefix]`.

    Raises:
        InvalidLocation: a period anywhere, or a character other than letters, digits and `_ = - /`.
    """
    scheme, separator, rest = path.strip().partition("://")
    if not separator or scheme != "s3":
        raise InvalidLocation(
            f"S3 path `{path}` must begin with `s3://`, as in `s3://my-bucket/lake`"
        )
    if "." in rest:
        raise InvalidLocation(
            f"S3 path `{path}` must not contain periods; "
            "use a bucket and folders named with letters, digits and _ = -"
        )
    if not _INTEGRATION_PATH.fullmatch(rest):
        raise InvalidLocation(
            f"S3 path `{path}` may hold only letters, digits, underscores, equal signs, dashes "
            "and `/`"
        )
    return Location.parse(path.strip())


def parse_sub_path(path: str | None) -> str:
    """Parse the optional folder of a catalog inside its integration; empty for the root.

    Raises:
        InvalidLocation: as for an integration's path.
    """
    stripped = (path or "").strip().strip("/")
    return parse_integration_path(f"s3://bucket/{stripped}").key if stripped else ""
