"""Turns what stores answer, and what AWS clients raise, into what a caller can act on.

Messages say what was tried, where, and the store's own code and words, cut to a harmless length:
a foreign endpoint may answer anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
ACCESS_DENIED_CODES: Final = frozenset({"AccessDenied", "AccessDeniedException", "403"})
LOST_ACCESS_CODES: Final = ACCESS_DENIED_CODES | {
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "NoSuchBucket",
    "SignatureDoesNotMatch",
}
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


@dataclass(frozen=True, slots=True)
class StoreError:
    """An answer that was not a success.  `code` is S3's word for it, or the status."""

    status: int
    code: str
    message: str
    region: str | None
    """The bucket's, when the answer names it."""


@contextmanager
def translated(operation: str, at: str) -> Iterator[None]:
    """Translate every failure of an AWS client in the block: one call and its answer.

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
        raise not_s3(operation, at) from error
    except (HTTPClientError, ConnectionError, IncompleteReadError) as error:
        raise no_answer(error, operation, at) from error
    except BotoCoreError as error:
        raise StorageRefused(f"{operation} `{at}`: {_clean(str(error))}") from error


def from_answer(error: ClientError, operation: str, at: str) -> CatalogError:
    """The error for an answer that was not a success, as an AWS client raises it."""
    said = StoreError(status_of(error), code_of(error), message_of(error), region_of(error))
    return refusal(said, operation, at)


def refusal(error: StoreError, operation: str, at: str) -> CatalogError:
    """The error for an answer; `code` of its context is what the store called it."""
    code, region = _clean(error.code), error.region
    said = f"{operation} `{at}`: the store answered {error.status} {code}: {_clean(error.message)}"
    if code in MISSING_CODES:
        return NoSuchFile(f"`{at}` is not in the store", operation=operation)
    if code in _BUSY_CODES or error.status in _BUSY_STATUSES:
        return StorageUnavailable(said, code=code)
    if code in _WRONG_REGION_CODES and region:
        message = f"{said}; the bucket is in region `{_clean(region)}`"
        return StorageRefused(message, code=code)
    return StorageRefused(said, code=code)


def no_answer(error: Exception, operation: str, at: str) -> StorageUnavailable:
    """The error for a request that nobody answered, or not to the end."""
    return StorageUnavailable(
        f"{operation} `{at}`: no usable answer from the store: {_clean(str(error))}"
    )


def not_s3(operation: str, at: str) -> StorageRefused:
    """The error for a success that is not in S3's form."""
    return StorageRefused(f"{operation} `{at}`: the answer is not what S3 says")


def is_denial(error: CatalogError) -> bool:
    """True if the store said that we may not."""
    return error.context.get("code") in ACCESS_DENIED_CODES


def shows_lost_access(error: CatalogError) -> bool:
    """True for an answer that a working integration does not get."""
    return error.context.get("code") in LOST_ACCESS_CODES


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
