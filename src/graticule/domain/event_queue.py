"""A queue in which a store leaves word of what changed, and how reading it goes.  Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What a queue says of itself."""

    visibility_s: int
    """How long a message that was handed out stays hidden from the next reader."""
    messages: int
    """About so many wait."""
    has_dead_letters: bool
    """Messages that nobody can read end in another queue, instead of coming back until they age."""


@dataclass(frozen=True, slots=True)
class EventQueue:
    """The queue of a catalog.  Catalogs of one integration may share one.

    `error` is why the last attempt at it failed, the `failures`th in a row.  `unreadable` counts
    messages that were left in the queue, `unreadable_error` is why the last of them was.
    """

    catalog_id: str
    integration_id: str
    url: str
    next_poll_ms: int
    kms_key_arn: str | None = None
    """What the queue is encrypted with, if SQS does not do it by itself."""
    failures: int = 0
    error: str | None = None
    polled_at_ms: int | None = None
    """When it answered last."""
    received_at_ms: int | None = None
    """When it held a message last."""
    messages: int | None = None
    has_dead_letters: bool | None = None
    unreadable: int = 0
    unreadable_error: str | None = None
