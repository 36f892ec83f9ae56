"""May the server connect there?  The one answer, for every address that a user had a say in.  Pure.

Addresses fall in three kinds.  Public ones are open, over TLS.  Private ones lie in the operator's
network and are open only where the operator says so.  The rest never is, unless the operator names
the very network: metadata services, link-local and multicast addresses, and IPv4 addresses in the
clothes of IPv6, whose real target depends on the network's translators.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")

_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "168.63.129.16",  # Azure's, in the middle of a public range
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
    )
)
"""Metadata services that are not link-local: each hands the machine's identity to whoever asks."""

_NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host, by another name
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, and IPv4-compatible; loopback is taken out below
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fe80::/10",
        "ff00::/8",
    )
)
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")


class Reach(Enum):
    PUBLIC = auto()
    PRIVATE = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What the operator opened beyond public addresses over TLS.

    `allow_private` opens all private networks, and doing without TLS; `networks` and `hosts` open
    single ones.
    """

    allow_private: bool = False
    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, entries: str, *, allow_private: bool = False) -> Self:
        """The policy of `entries`: networks, addresses and host names, joined by commas.

        Raises:
            ValueError: an entry is neither.
        """
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in filter(None, (part.strip().lower() for part in entries.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError as error:
                if "/" in entry or ":" in entry or not _HOST_NAME.fullmatch(entry):
                    raise ValueError(
                        f"`{entry}` is neither a network such as `10.2.0.0/16` nor a host name"
                    ) from error
                hosts.add(entry)
        return cls(allow_private, tuple(networks), frozenset(hosts))

    def permits(self, scheme: str, host: str, address: str) -> bool:
        """True if the server may speak `scheme` with `host` at this one of its addresses."""
        parsed = parse_address(address)
        if parsed is None:
            return False
        if any(parsed in network for network in self.networks):
            return True
        is_opened = self.allow_private or host.lower().rstrip(".") in self.hosts
        match reach(parsed):
            case Reach.PUBLIC:
                return scheme == "https" or is_opened
            case Reach.PRIVATE:
                return is_opened
            case Reach.NEVER:
                return False


def reach(address: Address) -> Reach:
    """The kind of an address."""
    if address.is_loopback and not getattr(address, "ipv4_mapped", None):
        return Reach.PRIVATE
    if address in _METADATA or any(address in network for network in _NEVER):
        return Reach.NEVER
    if not address.is_global:
        return Reach.PRIVATE
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return Reach.NEVER
    return Reach.PUBLIC


def parse_address(text: str) -> Address | None:
    """An IP address in its own spelling, with or without a zone; None for anything else."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
