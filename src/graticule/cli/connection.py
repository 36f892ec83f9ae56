"""Reaches the server that the environment names, without loading an HTTP client for `--help`."""

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi


def connect() -> "ManagementApi":
    """A client of the server at GRATICULE_URL; use it as a context manager."""
    from graticule.cli.client import ManagementApi  # noqa: PLC0415

    return ManagementApi.from_environment()


def segment(text: str) -> str:
    """One path segment, whatever characters a name has."""
    return quote(text, safe="")
