"""Network addresses: what a text of one means, and whose it is."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

# A provider gives each customer a network of this size, so one caller has all of its addresses.
_IPV6_CUSTOMER_BITS: Final = 64


def parse_networks(value: object) -> tuple[Network, ...]:
    """Addresses and CIDR networks, by comma or white space. Raises ValueError."""
    entries: Iterable[object] = value if isinstance(value, tuple | list) else re.split(r"[,\s]+", str(value))
    return tuple(_networks(entries))


@lru_cache(maxsize=4096)
def caller_of(address: str) -> str:
    """The key of whoever has this address: of IPv6 its network, since a caller has 2^64 addresses there."""
    found = parsed(address)
    if not isinstance(found, IPv6Address):
        return address if found is None else str(found)
    return str(IPv6Network((found, _IPV6_CUSTOMER_BITS), strict=False))


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Whether this is loopback or a private network's."""
    found = parsed(address)
    return found is not None and (found.is_loopback or found.is_private)


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one where IPv6 only wraps it."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _networks(entries: Iterable[object]) -> Iterator[Network]:
    for entry in entries:
        if isinstance(entry, IPv4Network | IPv6Network):
            yield entry
        elif entry:
            try:
                yield ip_network(str(entry))
            except ValueError as error:
                raise ValueError(f"{entry!r}: write addresses or networks, such as 10.0.0.0/8 ({error})") from None
