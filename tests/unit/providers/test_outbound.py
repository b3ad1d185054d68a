"""A7: a name that leads into a private network is not connected to, however it is written."""

import socket
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver

from cdp.providers.outbound import ForbiddenTarget, GuardedResolver, is_public, refuse_private

PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fd12::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.1.1", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a7_an_address_in_a_special_network_is_not_public(address):
    assert not is_public(ip_address(address.partition("%")[0]))
    with pytest.raises(ForbiddenTarget):
        refuse_private(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a7_others_are(address):
    assert is_public(ip_address(address))
    refuse_private(address)


def test_a7_a_name_is_looked_at_when_it_is_resolved():
    refuse_private("localhost")


class Flipping(AbstractResolver):
    """A name server that answers otherwise each time it is asked."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        hosts = self.answers.pop(0)
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in hosts
        ]

    async def close(self):
        """Nothing is held."""


async def test_a7_every_address_of_a_name_must_be_public():
    resolver = GuardedResolver(Flipping(["8.8.8.8"], ["8.8.8.8", "10.0.0.1"], ["127.0.0.1"]))

    first = await resolver.resolve("hooks.example.com", 443)

    assert [each["host"] for each in first] == ["8.8.8.8"]
    for _ in range(2):
        with pytest.raises(ForbiddenTarget):
            await resolver.resolve("hooks.example.com", 443)
    await resolver.close()
