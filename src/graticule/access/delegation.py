"""How a client reaches a table's files: the one decision, from everything that bears on it.

Pure: the situation goes in, a way and its reason come out.  The rule behind the order: whatever is
handed out opens no more than the table, as far as anything can make it so; where that is impossible
requests are signed one by one; and what opens more leaves only by an admin's consent.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from graticule.domain.catalog import AccessLevel


class Delegation(StrEnum):
    """The mechanisms of the specification, as `X-Iceberg-Access-Delegation` spells them."""

    VENDED_CREDENTIALS = "vended-credentials"
    REMOTE_SIGNING = "remote-signing"


Delegations = frozenset[Delegation]
NO_DELEGATION: Final[Delegations] = frozenset()
VENDED: Final[Delegations] = frozenset({Delegation.VENDED_CREDENTIALS})


class Way(StrEnum):
    OWN = "own"
    """The client brings credentials of its own."""
    ANONYMOUS = "anonymous"
    """Nobody needs credentials: requests go out unsigned."""
    SESSION = "session"
    """Temporary credentials, limited to the table."""
    SIGNING = "signing"
    """The server signs each request."""
    STATIC_KEYS = "static-keys"
    """The integration's own access keys, which open all of it and do not end."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What bears on the decision.

    `access` is what the caller may do with the table.  `session_obstacle` says why no session can
    be limited to it, or is None.  `is_open`: anybody can read the files without credentials.
    `keys_may_leave` is the admin's consent to hand out access keys; None where there are no keys.
    """

    accepted: Delegations
    access: AccessLevel
    session_obstacle: str | None = None
    requester_pays: bool = False
    is_open: bool = False
    keys_may_leave: bool | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    way: Way
    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    reason: str


def parse_delegations(header: str | None) -> Delegations:
    """What a client accepts.  Unknown words are other servers' mechanisms and are passed over."""
    words = {word.strip().lower() for word in (header or "").split(",")}
    return frozenset(delegation for delegation in Delegation if delegation.value in words)


def choose(situation: Situation) -> Chosen | Impossible:
    """The narrowest way that the client accepts and the store allows."""
    accepted = situation.accepted
    if not accepted:
        return Chosen(Way.OWN, "the client asks for nothing and brings credentials of its own")
    reads_only = situation.access is AccessLevel.READ
    if situation.is_open and reads_only and not situation.requester_pays:
        return Chosen(Way.ANONYMOUS, "anybody can read the files, and the caller only reads")
    if Delegation.VENDED_CREDENTIALS not in accepted:
        return Chosen(Way.SIGNING, "the client accepts nothing else")
    obstacle = _obstacle(situation)
    if obstacle is None:
        return Chosen(Way.SESSION, "the client accepts it and the store can")
    if Delegation.REMOTE_SIGNING in accepted:
        return Chosen(Way.SIGNING, obstacle)
    held_back = _why_keys_stay(situation)
    if held_back is None:
        return Chosen(Way.STATIC_KEYS, f"an admin allowed it, and {obstacle}")
    return Impossible(
        f"credentials cannot be vended here: {obstacle}; {held_back}; use a client that can have "
        "its requests signed, with "
        "`X-Iceberg-Access-Delegation: vended-credentials,remote-signing`"
    )


def _obstacle(situation: Situation) -> str | None:
    if situation.requester_pays:
        return (
            "requests to this bucket are paid by the requester, and Iceberg clients cannot say by "
            "themselves that they pay"
        )
    return situation.session_obstacle


def _why_keys_stay(situation: Situation) -> str | None:
    if situation.requester_pays:
        return "other credentials would not help"
    if situation.keys_may_leave is None:
        return "there is nothing else to hand out"
    if situation.access is AccessLevel.READ:
        return "access keys are never handed to those who may only read"
    if not situation.keys_may_leave:
        return "no admin allowed to hand out the access keys themselves"
    return None
