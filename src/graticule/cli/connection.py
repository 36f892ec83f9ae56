"""Reaches the server that the environment names, without loading an HTTP client for `--help`."""

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from graticule.cli.client import ManagementApi

DEFAULT_URL: Final = "http://127.0.0.1:8181"


def connect() -> "ManagementApi":
    """A client of the server that was chosen; use it as a context manager."""
    from graticule.cli.client import ManagementApi  # noqa: PLC0415

    return ManagementApi.from_environment()


def segment(text: str) -> str:
    """One path segment, whatever characters a name has."""
    return quote(text, safe="")
