"""Turns what AWS clients raise into what a caller can act on.

Messages say what was tried, where, and the store's own code and words, cut to a harmless length:
a foreign endpoint may answer anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, the base of its connection failures
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from graticule.domain.errors import CatalogError, NoSuchFile, StorageRefused, StorageUnavailable

STORE_MESSAGE_CHARACTERS_MAX: Final = 300

MISSING_CODES: Final = frozenset({"NoSuchKey", "404", "NotFound"})
PRECONDITION_CODES: Final = frozenset(
    {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
)
_BUSY_CODES: Final = frozenset(
    {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestTimeout"}
    | {"TooManyRequests", "RequestLimitExceeded", "InternalError", "OperationAborted"}
)
_BUSY_STATUSES: Final = frozenset({429, 500, 502, 503, 504})  # not 501: that stays a no
_WRONG_REGION_CODES: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307"}
)


@contextmanager
def translated(operation: str, at: str) -> Iterator[None]:
    """Translate every AWS failure of the block, which should be one call and its answer.

    Raises:
        NoSuchFile: the object is not there.
        StorageRefused: the store said no, or tried to send us elsewhere.
        StorageUnavailable: no answer, or the store is busy or broken.
    """
    try:
        yield
    except ClientError as error:
        raise from_answer(error, operation, at) from error
    except RecursionError as error:
        raise StorageRefused(f"{operation} `{at}`: the store redirects in a circle") from error
    except (ResponseParserError, KeyError) as error:
        raise StorageRefused(f"{operation} `{at}`: the answer is not what S3 says") from error
    except (HTTPClientError, ConnectionError, IncompleteReadError) as error:
        raise StorageUnavailable(
            f"{operation} `{at}`: no usable answer from the store: {_clean(str(error))}"
        ) from error
    except BotoCoreError as error:
        raise StorageRefused(f"{operation} `{at}`: {_clean(str(error))}") from error


def from_answer(error: ClientError, operation: str, at: str) -> CatalogError:
    """The error for an answer that was not a success."""
    code, status = code_of(error), status_of(error)
    said = f"{operation} `{at}`: the store answered {status} {code}: {message_of(error)}"
    if code in MISSING_CODES:
        return NoSuchFile(f"`{at}` is not in the store", operation=operation)
    if code in _BUSY_CODES or status in _BUSY_STATUSES:
        return StorageUnavailable(said, code=code)
    region = region_of(error)
    if code in _WRONG_REGION_CODES and region:
        return StorageRefused(f"{said}; the bucket is in region `{region}`", code=code)
    return StorageRefused(said, code=code)


def code_of(error: ClientError) -> str:
    """The error code; some token services leave out the `Error` element."""
    response: dict[str, Any] = dict(error.response)
    inner = response.get("Error") or {}
    code = inner.get("Code") or response.get("Code") or status_of(error)
    return _clean(str(code))


def message_of(error: ClientError) -> str:
    response: dict[str, Any] = dict(error.response)
    inner = response.get("Error") or {}
    return _clean(str(inner.get("Message") or response.get("Message") or "no message"))


def status_of(error: ClientError) -> int:
    metadata: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    return int(metadata.get("HTTPStatusCode", 0))


def region_of(error: ClientError) -> str | None:
    """The bucket's region, when the answer names it."""
    metadata: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    headers: dict[str, str] = metadata.get("HTTPHeaders", {})
    inner: dict[str, Any] = dict(error.response.get("Error") or {})
    region = headers.get("x-amz-bucket-region") or inner.get("Region")
    return _clean(region) if region else None


def _clean(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:STORE_MESSAGE_CHARACTERS_MAX]
