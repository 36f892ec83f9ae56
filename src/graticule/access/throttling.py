"""How often somebody may try to sign in, and how long a pause a failure costs.  Pure."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

PAUSE_FIRST_MS: Final = 1_000
PAUSE_MAX_MS: Final = 15 * 60_000
FORGOTTEN_AFTER_MS: Final = 60 * 60_000
"""Counted from the end of the last pause."""

ACCOUNT_FAILURES_FREE: Final = 5
ADDRESS_FAILURES_FREE: Final = 50
"""Many people may share an address; it is counted to slow down who guesses many accounts."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is remembered of one account or address."""

    failures: int
    blocked_until_ms: int


def after_failure(before: Attempts | None, *, free: int, now_ms: int) -> Attempts:
    """One more failure: pauses begin after the free ones, and double."""
    failures = 1 if before is None or is_forgotten(before, now_ms) else before.failures + 1
    doublings = min(max(0, failures - free), 30)
    pause_ms = 0 if failures < free else min(PAUSE_FIRST_MS << doublings, PAUSE_MAX_MS)
    return Attempts(failures, now_ms + pause_ms)


def is_forgotten(attempts: Attempts, now_ms: int) -> bool:
    return attempts.blocked_until_ms + FORGOTTEN_AFTER_MS <= now_ms


def address_group(address: str) -> str:
    """What counts as one address: all that one customer of a provider can choose from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
