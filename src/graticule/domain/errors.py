"""Every failure a caller can see, one class per thing the caller can act on.

No HTTP here: `api/errors.py` holds the one table from class to status.  Messages name the thing in
backquotes and the way out; they never carry SQL, secrets or what belongs to somebody else.
"""


class CatalogError(Exception):
    """Something the caller did, or the world refused.  `context` is for logs, not for answers."""

    def __init__(self, message: str, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.context = context


# What was asked for is wrong: the caller has to change the request.


class InvalidRequest(CatalogError):
    """The request is malformed, or names something that cannot be."""


class InvalidName(InvalidRequest):
    """A name breaks the naming rules."""


class InvalidLocation(InvalidRequest):
    """A storage location breaks the path rules, or lies where it must not."""


class RangeBeyondEnd(InvalidRequest):
    """A range of a file begins behind its end."""


class InvalidPageToken(InvalidRequest):
    """A page token that this server did not issue for this list."""


class InvalidUpdate(InvalidRequest):
    """A table update or requirement that is unknown, malformed or contradicts the specification."""


class InvalidViewVersion(InvalidUpdate):
    """A view version that cannot be, such as one with two queries for the same dialect."""


class UnprocessableProperties(CatalogError):
    """The same property is to be set and removed at once."""


class IdempotencyKeyReused(CatalogError):
    """The key that came with a request was used for another one."""


class PayloadTooLarge(CatalogError):
    """The request body is larger than the server reads."""


class UnsupportedMediaType(CatalogError):
    """The body is of a type, or in an encoding, that this operation does not read."""


class Unsupported(CatalogError):
    """The operation is part of the specification but not served."""


# Who is asking.


class Unauthenticated(CatalogError):
    """No credential, or one that is unknown, expired or revoked."""


class InvalidClient(CatalogError):
    """The token endpoint does not know this client, or its secret is wrong."""


class InvalidGrant(CatalogError):
    """The token endpoint cannot exchange what it was given."""


class InvalidScope(CatalogError):
    """The token endpoint may not grant any of the scopes asked for."""


class DeviceNotApproved(CatalogError):
    """The token endpoint has no token for a device."""


class AuthorizationPending(DeviceNotApproved):
    """Nobody has approved the device yet: ask again."""


class SlowDown(DeviceNotApproved):
    """The device asks too often."""


class AccessDenied(DeviceNotApproved):
    """Somebody refused the device."""


class ExpiredDevice(DeviceNotApproved):
    """The device code is unknown, used, or too old."""


class UnsupportedGrantType(CatalogError):
    """The token endpoint does not serve this grant."""


class Forbidden(CatalogError):
    """The caller is known and may not do this."""


class EditionForbids(Forbidden):
    """The organisation's edition does not include this."""


class ReadOnlyStorage(Forbidden):
    """The storage integration is read-only: nothing may be written through it."""


class SignatureRefused(Forbidden):
    """A request to the object store that may not be signed for this table."""


class CrossSite(Forbidden):
    """A browser sent its session along on behalf of another site, or may have."""


# What was asked for is not there.


class NotFound(CatalogError):
    """Base of everything that is absent, or that the caller may not know of."""


class NoSuchRoute(NotFound):
    """No operation is served at this path."""


class MethodNotAllowed(CatalogError):
    """The path is served, but not with this method."""


class NoSuchWarehouse(NotFound):
    """No catalog goes by the name that a client passed as `warehouse`."""


class NoSuchNamespace(NotFound):
    pass


class NoSuchTable(NotFound):
    pass


class NoSuchView(NotFound):
    pass


class NoSuchFunction(NotFound):
    pass


class NoSuchPlan(NotFound):
    pass


class NoSuchPlanTask(NotFound):
    pass


class NoSuchFile(NotFound):
    """An object that the catalog refers to is not in storage."""


class NoSuchIntegration(NotFound):
    pass


class NoSuchVerification(NotFound):
    pass


class NoSuchCatalog(NotFound):
    pass


class NoSuchScan(NotFound):
    pass


class NoSuchSync(NotFound):
    pass


class NoSuchQueue(NotFound):
    pass


class NoSuchJob(NotFound):
    pass


class NoSuchOrganisation(NotFound):
    pass


class NoSuchMember(NotFound):
    pass


class NoSuchApiKey(NotFound):
    pass


class NoSuchWebhook(NotFound):
    pass


class NoSuchSession(NotFound):
    pass


class NoSuchIssuer(NotFound):
    pass


class NoSuchLink(NotFound):
    """A one-time link that is unknown, used, or too old."""


class NoSuchDevice(NotFound):
    """A user code that no device waits with."""


class NoSuchRole(NotFound):
    pass


class NoSuchGrant(NotFound):
    pass


# What is there, but is not what it should be.


class PlanFailed(CatalogError):
    """A scan that cannot be planned, though its table is there: files of the snapshot are not."""


class UnreadableFile(CatalogError):
    """A data, metadata or manifest file that is corrupt, cut short, encrypted or foreign."""


# What was asked for contradicts what is there.


class AlreadyExists(CatalogError):
    pass


class NamespaceNotEmpty(CatalogError):
    """The namespace still holds tables, views, functions or namespaces."""


class InUse(CatalogError):
    """The thing cannot be deleted while others depend on it."""


class LastAdmin(CatalogError):
    """Nobody could manage the organisation any more."""


class WrongState(CatalogError):
    """The thing is not in the state this operation needs, such as a scan that is still running."""


class Outdated(CatalogError):
    """The caller speaks of a version of the thing that is no longer the current one."""


class CommitConflict(CatalogError):
    """A requirement does not hold, or the table moved on.  Promises that nothing landed."""


class KeyClaimed(CatalogError):
    """The same request, sent twice at once, was first elsewhere.  Promises that nothing landed."""


class CommitStateUnknown(CatalogError):
    """The commit may or may not have landed; the client must not delete what it wrote."""


# The world outside.


class StorageRefused(CatalogError):
    """The object store or its token service refused us.  The message says what it answered."""


class NoNarrowSession(StorageRefused):
    """No session can be had that is limited to what was asked for; asking again will not help."""


class NoTokenService(NoNarrowSession):
    """The store cannot issue temporary credentials at all."""


class SessionsNotNarrowed(NoNarrowSession):
    """The store issues sessions and lets them reach beyond the policy that came with them."""


class PolicyTooLarge(NoNarrowSession):
    """What a session is to be limited to does not fit into one policy."""


class SessionTooLong(StorageRefused):
    """The role, or its identity, does not allow sessions that last so long."""


class StorageUnavailable(CatalogError):
    """The object store did not answer, or asked to come back later."""


class StorageCrowded(StorageUnavailable):
    """Too many requests wait for the store already.  Promises that nothing was sent."""


class WriteOutcomeUnknown(StorageUnavailable):
    """A write was sent and no answer came: the object may or may not be there."""


class Unavailable(CatalogError):
    """The server cannot do this now; nothing was changed."""


class Overloaded(CatalogError):
    """Too much at once.  Nothing was started; try again after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: int, **context: object) -> None:
        super().__init__(message, **context)
        self.retry_after_s = retry_after_s


class TooManyAttempts(Overloaded):
    """Somebody failed to sign in too often; the right password is refused as well for now."""
