"""Where the platform may connect to when a client or a recipient names the host (rule A7).

A name is resolved once, every address that it has is looked at, and one of exactly those is
connected to: a name that answers otherwise the second time leads nowhere else.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

_NOT_PUBLIC: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""IANA's IPv4 special-purpose registry (RFC 6890), multicast, and what is reserved."""
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that is given out. What maps IPv4 (`::ffff:0:0/96`) and NAT64's
`64:ff9b::/96` lie outside of it."""
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
"""Protocol assignments with Teredo, documentation, 6to4, documentation again."""


class ForbiddenTarget(OSError):
    """The host is, or has an address, in a network that is not public."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether this address is out on the internet. `ipaddress` itself has been wrong about it
    (CVE-2024-4032), and knows nothing of what is tunnelled."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def refuse_private(host: str) -> None:
    """Refuse a host that is written as an address which is not public.

    Raises:
        ForbiddenTarget: so it is.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not is_public(address):
        raise ForbiddenTarget("not a public address")


async def public_address(host: str) -> str:
    """One of the addresses of a host all of whose addresses are public: the one to connect to.

    Raises:
        ForbiddenTarget: one of them is not.
        OSError: the host has none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        refuse_private(address)
    return addresses[0]


class GuardedResolver(AbstractResolver):
    """Resolves names all of whose addresses are public, and no others."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            ForbiddenTarget: one of them is not public. With one of each kind the name is a trap.
        """
        found: list[ResolveResult] = await self._inner.resolve(host, port, family)
        for each in found:
            refuse_private(each["host"])
        return found

    async def close(self) -> None:
        """Give up what the resolver holds."""
        await self._inner.close()


def resolver_for(*, reach_private: bool) -> Any:
    """The resolver of a client whose URLs come from outside; None is the usual one."""
    return None if reach_private else GuardedResolver()
