"""Which hosts may be asked for a recording that somebody announced: those of the public internet.

Else whoever may announce could have us fetch what only this machine, or its network, can reach: a
database's page, a cloud's metadata with its keys.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from callpipeline.domain.web_address import Address, IPAddress, address_of
from callpipeline.errors import AddressInvalid

Network = IPv4Network | IPv6Network

NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
PUBLIC_IPV6 = IPv6Network("2000::/3")
"""Everything else of IPv6 is local, multicast, reserved, or means something of IPv4."""
NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, Teredo among them, whose addresses hold one of IPv4
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
"""How networks that speak IPv6 alone write the addresses of IPv4: those count that are meant."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The public internet, and what an operator allows besides: hosts by name, networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def with_allowed(cls, entries: Iterable[str]) -> "Reach":
        """Entries are names of hosts, addresses of IP, or networks like 10.0.0.0/8.

        Raises ValueError that says which is none of these.
        """
        hosts, networks = set[str](), list[Network]()
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                hosts.add(_host(entry))
        return cls(frozenset(hosts), tuple(networks))

    def allows(self, host: str, ip: IPAddress) -> bool:
        """Whether a host may be asked at one of its addresses."""
        meant = ipv4_meant_by(ip) or ip
        return host in self.hosts or _is_public(meant) or self._is_allowed(ip, meant)

    def refuse_literally_private(self, address: Address) -> None:
        """Raises AddressInvalid for what is known to be private without asking DNS."""
        is_here = address.host == "localhost" or address.host.endswith(".localhost")
        ip = IPv4Address("127.0.0.1") if is_here else address.ip
        if ip is not None and not self.allows(address.host, ip):
            raise AddressInvalid(
                "The address is of this machine or of a private network, from which no recording "
                "is fetched: announce a public one, or let the operator name its host in "
                "CALLPIPELINE_FETCH_ALLOW."
            )

    def _is_allowed(self, *spellings: IPAddress) -> bool:
        return any(ip in network for ip in spellings for network in self.networks)


def ipv4_meant_by(ip: IPAddress) -> IPv4Address | None:
    """The address of IPv4 that one of IPv6 leads to, mapped or through NAT64."""
    if isinstance(ip, IPv4Address):
        return None
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped


def _is_public(ip: IPAddress) -> bool:
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in NOT_PUBLIC)
    if ip not in PUBLIC_IPV6:
        return False
    return not any(ip in network for network in NOT_PUBLIC_IPV6)


def _host(entry: str) -> str:
    try:
        address = address_of(f"http://{entry}/")
    except AddressInvalid:
        address = None
    if address is None or re.search("[:/]", entry):
        raise ValueError(
            f"{entry} is neither a host nor a network: write them like media.local, 10.0.0.0/8"
        )
    return address.host
