"""The body of a request, as bytes, before anybody knows what it says.  Awaits."""

from starlette.requests import Request

from graticule.domain.errors import PayloadTooLarge, UnsupportedMediaType


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The whole body, never more than the limit in memory.

    Raises:
        PayloadTooLarge: there is more of it.
        UnsupportedMediaType: it is compressed, or encoded in any other way.
    """
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        return b""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise PayloadTooLarge(f"the body has {declared} bytes; at most {bytes_max} are read")
    if declared != "0" or "transfer-encoding" in request.headers:
        _require_plain(request.headers.get("content-encoding", ""))
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise PayloadTooLarge(f"the body is larger than {bytes_max} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _require_plain(encoding: str) -> None:
    """Bodies are not unpacked: a small one could become larger than the limit on bodies."""
    if {coding.strip().lower() for coding in encoding.split(",")} - {"", "identity"}:
        raise UnsupportedMediaType(
            f"`Content-Encoding: {encoding}` is not read: send the body as it is,"
            " without this header",
            accept_encoding="identity",
        )
