"""How a client reaches a table's files: with credentials of its own, vended ones, or signatures.

Pure: what the client accepts and what stands in the way go in, a choice with its reason comes out.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Delegation(StrEnum):
    """The mechanisms of the specification, as `X-Iceberg-Access-Delegation` spells them."""

    VENDED_CREDENTIALS = "vended-credentials"
    REMOTE_SIGNING = "remote-signing"


Delegations = frozenset[Delegation]
NO_DELEGATION: Final[Delegations] = frozenset()
VENDED: Final[Delegations] = frozenset({Delegation.VENDED_CREDENTIALS})


@dataclass(frozen=True, slots=True)
class Chosen:
    """None: the client brings credentials of its own."""

    delegation: Delegation | None
    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    reason: str


def parse_delegations(header: str | None) -> Delegations:
    """What a client accepts.  Unknown words are other servers' mechanisms and are passed over."""
    words = {word.strip().lower() for word in (header or "").split(",")}
    return frozenset(delegation for delegation in Delegation if delegation.value in words)


def choose(accepted: Delegations, *, obstacle: str | None) -> Chosen | Impossible:
    """Credentials wherever they can be vended, since they cost no call per request; else signing.

    `obstacle` says why credentials cannot be vended here, or is None.
    """
    if not accepted:
        return Chosen(None, "the client asks for nothing and brings credentials of its own")
    if Delegation.VENDED_CREDENTIALS not in accepted:
        return Chosen(Delegation.REMOTE_SIGNING, "the client accepts nothing else")
    if obstacle is None:
        return Chosen(Delegation.VENDED_CREDENTIALS, "the client accepts it and the store can")
    if Delegation.REMOTE_SIGNING in accepted:
        return Chosen(Delegation.REMOTE_SIGNING, obstacle)
    return Impossible(
        f"credentials cannot be vended here: {obstacle}; use a client that can have its requests "
        "signed, with `X-Iceberg-Access-Delegation: vended-credentials,remote-signing`"
    )
