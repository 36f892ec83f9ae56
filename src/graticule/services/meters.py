"""What this process counts about itself, for Prometheus; `services.monitoring` shows it.

Labels have few values, all of our own making: no name of a table, a member or an organisation.
Process-wide, as the library has it: below a supervisor each process writes to files that all share.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from graticule.domain.errors import CatalogError, CommitConflict, CommitStateUnknown

REGISTRY: Final = CollectorRegistry()

_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ROUTES_MAX: Final = 4096

_requests = Counter(
    "graticule_requests",
    "Requests answered",
    ["route", "method", "status"],
    registry=REGISTRY,
)
_duration = Histogram(
    "graticule_request_duration_seconds",
    "From the first byte of a request to the last of its answer",
    ["route", "method"],
    buckets=_BUCKETS_S,
    registry=REGISTRY,
)
IN_PROGRESS: Final = Gauge(
    "graticule_requests_in_progress",
    "Requests that are being answered",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_credentials = Counter(
    "graticule_credentials",
    "Credentials that were asked for, by where they came from",
    ["source"],
    registry=REGISTRY,
)
CREDENTIALS_CACHED: Final = _credentials.labels("cache")
CREDENTIALS_FETCHED: Final = _credentials.labels("fetched")
_token_service = Counter(
    "graticule_credential_fetches",
    "Calls to token services (STS) for a credential, by how they ended",
    ["outcome"],
    registry=REGISTRY,
)
TOKEN_SERVICE_ANSWERED: Final = _token_service.labels("answered")
TOKEN_SERVICE_FAILED: Final = _token_service.labels("failed")
_commits = Counter(
    "graticule_commits",
    "Commits to tables, by how they ended",
    ["outcome"],
    registry=REGISTRY,
)
_LANDED, _CONFLICT, _UNKNOWN, _REFUSED, _FAILED = (
    _commits.labels(outcome) for outcome in ("landed", "conflict", "unknown", "refused", "failed")
)
_jobs_ended = Counter(
    "graticule_jobs_ended",
    "Jobs that ended, by how",
    ["kind", "state"],
    registry=REGISTRY,
)
_damaged_indexes = Counter(
    "graticule_damaged_indexes",
    "Indexes that were found damaged or missing, by where",
    ["where"],
    registry=REGISTRY,
)
INDEX_COPIES_DAMAGED: Final = _damaged_indexes.labels("copy")
INDEXES_DAMAGED: Final = _damaged_indexes.labels("bucket")
AUDIT_EVENTS_LOST: Final = Counter(
    "graticule_audit_events_lost",
    "Events that were to be audited, and were too many at once",
    registry=REGISTRY,
)


def count_request(route: str, method: str, status: int, duration_s: float) -> None:
    """An answer, by its route's template."""
    counter, histogram = _of_route(route, method, status)
    counter.inc()
    histogram.observe(duration_s)


def count_job(kind: str, state: str) -> None:
    """A job that ended in this process."""
    _jobs_ended.labels(kind, state).inc()


@contextmanager
def counted_commit() -> Iterator[None]:
    """Counts how the commit in the block ends."""
    try:
        yield
    except CommitConflict:
        _CONFLICT.inc()
        raise
    except CommitStateUnknown:
        _UNKNOWN.inc()
        raise
    except CatalogError:
        _REFUSED.inc()
        raise
    except BaseException:
        _FAILED.inc()
        raise
    _LANDED.inc()


@lru_cache(maxsize=_ROUTES_MAX)
def _of_route(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: the library's way takes longer than the counting."""
    return _requests.labels(route, method, str(status)), _duration.labels(route, method)
