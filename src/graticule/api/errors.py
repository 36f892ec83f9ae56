"""From a failure to an answer: the only place where status codes are chosen.

Three surfaces speak three shapes: the Iceberg error envelope (specification, `ErrorModel`), the
OAuth error of the token endpoint (RFC 6749 section 5.2), and problem details (RFC 9457) for the
management API.  `code` in an Iceberg body always equals the status: the Java client reads the body.
"""

import re
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from graticule.domain import errors

Json = dict[str, Any]

STATUS: Final[dict[type[errors.CatalogError], tuple[int, str]]] = {
    errors.CatalogError: (500, "InternalServerError"),
    errors.InvalidRequest: (400, "BadRequestException"),
    # By this very type Java clients raise what their own builder would have raised.
    errors.InvalidViewVersion: (400, "IllegalArgumentException"),
    errors.UnprocessableProperties: (422, "UnprocessableEntityException"),
    errors.IdempotencyKeyReused: (422, "UnprocessableEntityException"),
    errors.PayloadTooLarge: (413, "PayloadTooLargeException"),
    errors.UnsupportedMediaType: (415, "UnsupportedMediaTypeException"),
    errors.MethodNotAllowed: (405, "MethodNotAllowedException"),
    errors.Unsupported: (501, "UnsupportedOperationException"),
    errors.Unauthenticated: (401, "NotAuthorizedException"),
    errors.InvalidClient: (401, "NotAuthorizedException"),
    errors.InvalidGrant: (400, "BadRequestException"),
    errors.InvalidScope: (400, "BadRequestException"),
    errors.DeviceNotApproved: (400, "BadRequestException"),
    errors.UnsupportedGrantType: (400, "BadRequestException"),
    errors.Forbidden: (403, "ForbiddenException"),
    errors.NotFound: (404, "NotFoundException"),
    errors.NoSuchWarehouse: (404, "NoSuchWarehouseException"),
    errors.NoSuchNamespace: (404, "NoSuchNamespaceException"),
    errors.NoSuchTable: (404, "NoSuchTableException"),
    errors.NoSuchView: (404, "NoSuchViewException"),
    errors.NoSuchFunction: (404, "NoSuchFunctionException"),
    errors.NoSuchPlan: (404, "NoSuchPlanIdException"),
    errors.NoSuchPlanTask: (404, "NoSuchPlanTaskException"),
    errors.PlanFailed: (422, "UnprocessableEntityException"),
    errors.UnreadableFile: (422, "UnprocessableEntityException"),
    errors.AlreadyExists: (409, "AlreadyExistsException"),
    errors.NamespaceNotEmpty: (409, "NamespaceNotEmptyException"),
    errors.InUse: (409, "InUseException"),
    errors.LastAdmin: (409, "LastAdminException"),
    errors.WrongState: (409, "WrongStateException"),
    errors.RangeBeyondEnd: (416, "RangeNotSatisfiableException"),
    errors.Outdated: (412, "PreconditionFailedException"),
    errors.CommitConflict: (409, "CommitFailedException"),
    errors.KeyClaimed: (503, "ServiceUnavailableException"),
    errors.CommitStateUnknown: (500, "CommitStateUnknownException"),
    errors.StorageRefused: (403, "ForbiddenException"),
    errors.StorageUnavailable: (503, "SlowDownException"),
    errors.Unavailable: (503, "ServiceUnavailableException"),
    errors.Overloaded: (429, "TooManyRequestsException"),
}
"""A class that is not listed answers like its nearest listed ancestor."""

RETRY_AFTER_S: Final = 2
"""Sent with 503: nothing was applied, so a client may send the very same request again."""

_OAUTH_ERROR: Final[dict[type[errors.CatalogError], str]] = {
    errors.InvalidClient: "invalid_client",
    errors.Unauthenticated: "invalid_client",
    errors.InvalidGrant: "invalid_grant",
    errors.InvalidScope: "invalid_scope",
    errors.AuthorizationPending: "authorization_pending",
    errors.SlowDown: "slow_down",
    errors.AccessDenied: "access_denied",
    errors.ExpiredDevice: "expired_token",
    errors.UnsupportedGrantType: "unsupported_grant_type",
}


class Surface(Enum):
    """Which of the three error shapes a path speaks."""

    ICEBERG = "iceberg"
    OAUTH = "oauth"
    MANAGEMENT = "management"


def status_of(error: Exception) -> tuple[int, str]:
    """Status and Iceberg error type, by the nearest class in `STATUS`."""
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    return STATUS[errors.CatalogError]


def describe(error: Exception, surface: Surface, *, request_id: str) -> tuple[int, Json]:
    """Status and body of the answer to a failure.

    Anything that is not a `CatalogError` is a fault of ours: its text may name what the caller must
    not see, so the answer carries the request id instead, which is in the log beside the traceback.
    """
    status, type_ = status_of(error)
    if isinstance(error, errors.CatalogError):
        message = error.message
    else:
        message = (
            f"The server failed to answer; the log has the reason under request id {request_id}"
        )
    match surface:
        case Surface.ICEBERG:
            return status, {"error": {"message": message, "type": type_, "code": status}}
        case Surface.OAUTH:
            names = (_OAUTH_ERROR[cls] for cls in type(error).__mro__ if cls in _OAUTH_ERROR)
            default = (
                "invalid_request" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
            )
            return status, {"error": next(names, default), "error_description": message}
        case Surface.MANAGEMENT:
            return status, {
                "type": f"urn:graticule:problem:{_kebab(error, type_)}",
                "title": HTTPStatus(status).phrase,
                "status": status,
                "detail": message,
                "request_id": request_id,
            }


def headers_of(error: Exception, surface: Surface) -> list[tuple[str, str]]:
    status, _ = status_of(error)
    headers = []
    if isinstance(error, errors.Overloaded):
        headers.append(("Retry-After", str(error.retry_after_s)))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_AFTER_S)))
    if status == HTTPStatus.UNAUTHORIZED:
        # The token endpoint wants the client's secret, everything else a token.
        scheme = "Basic" if surface is Surface.OAUTH else "Bearer"
        headers.append(("WWW-Authenticate", f'{scheme} realm="graticule"'))
    if isinstance(error, errors.MethodNotAllowed) and "allow" in error.context:
        headers.append(("Allow", str(error.context["allow"])))
    if isinstance(error, errors.UnsupportedMediaType) and "accept_encoding" in error.context:
        headers.append(("Accept-Encoding", str(error.context["accept_encoding"])))
    headers.append(("Content-Type", media_of(surface)))
    return headers


def media_of(surface: Surface) -> str:
    return "application/problem+json" if surface is Surface.MANAGEMENT else "application/json"


def _kebab(error: Exception, fallback: str) -> str:
    name = type(error).__name__ if isinstance(error, errors.CatalogError) else fallback
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
