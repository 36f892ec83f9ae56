"""Response headers whose names keep their case on the wire.

The Java client looks for exactly `ETag` and `Cache-Control`.  Starlette lower-cases the names it is
given, and uvicorn's fast HTTP implementation lower-cases all of them by calling `lower()`.
"""

from starlette.responses import Response


class CasedName(bytes):
    """A header name that is in its right case already."""

    __slots__ = ()

    def lower(self) -> "CasedName":
        return self


def add_header(response: Response, name: str, value: str) -> None:
    response.raw_headers.append((CasedName(name.encode("latin-1")), value.encode("latin-1")))
