"""One check as code: what it is called, what it needs, how it is tried, and how it may end.

A check is a function of the probe.  It returns what it found, or raises how it ended otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass

from graticule.storage.verification.probe import AccessProbe


@dataclass(frozen=True, slots=True)
class Passed:
    """What was found.  `advice` is for what works and could still be better."""

    detail: str
    advice: str = ""


class Failed(Exception):
    """The check looked, and what it saw is wrong."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class Skipped(Exception):
    """There was nothing to look at; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """A check by its lasting `id`.  It is skipped when one of `needs` failed or was so skipped."""

    id: str
    title: str
    needs: tuple[str, ...]
    run: Callable[[AccessProbe], Passed]
    remedy: str = ""
    """What to do when the store's own answer is the failure, and says nothing more special."""
    may_propagate: bool = False
    """A refusal may only mean that a change of IAM has not spread yet."""
