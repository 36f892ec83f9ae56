"""A request that its sender may repeat under a key, and what became of it.

How the pieces work together is in docs/design/001-idempotency.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A change that its sender gave an `Idempotency-Key`.

    A service claims it in the transaction of the change.  `landed` is what an earlier request with
    the same key left there: then the change is in place, and only its answer is still to be made.
    """

    member_id: str
    key: str
    request_hash: str
    """SHA-256 of method, path, query and body: one key stands for one request."""
    created_at_ms: int
    expires_at_ms: int
    landed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """The change is in place; `result` is what its answer is made of again."""

    request_hash: str
    result: Json


@dataclass(frozen=True, slots=True)
class Refused:
    """The request was answered with a failure for good."""

    request_hash: str
    status: int
    body: bytes
