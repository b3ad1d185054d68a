"""A gateway that nobody may log in to any more ends, once it owes nobody anything."""

import asyncssh
import pytest
import pytest_asyncio

from cdp.sftp.gateway import GatewayLimits, SftpGateway
from tests.integration.sftp.rig import ROWS, Sftp, write
from tests.waiting import eventually


@pytest_asyncio.fixture
async def alone(stopped: Sftp) -> Sftp:
    """A gateway that runs, and the only account that there is."""
    others = {"name": {"$ne": stopped.name}}
    await stopped.database["sftp_accounts"].delete_many(others)
    # Uploads count as soon as their names say so: no rest has to be over.
    stopped.limits = GatewayLimits(settle_s=3_600)
    await stopped.start()
    return stopped


def gateway_of(sftp: Sftp) -> SftpGateway:
    assert sftp.gateway is not None
    return sftp.gateway


async def close_account(sftp: Sftp) -> None:
    await sftp.accounts.delete(sftp.client.id, sftp.name, seen=None)


async def test_it_goes_on_while_there_is_an_account_and_ends_without_one(alone: Sftp):
    gateway = gateway_of(alone)
    async with alone.session() as client:
        assert await client.realpath(".") == "/"
    assert not await gateway.stop_if_unused()
    await close_account(alone)

    assert await gateway.stop_if_unused()

    with pytest.raises(OSError, match="Connect"):
        await alone.connect()
    # With the next account there is one again, on the same spool.
    await alone.account()
    await alone.start()
    async with alone.session() as client:
        assert await client.realpath(".") == "/"


async def test_a_session_that_is_open_ends_with_its_account_and_then_the_gateway(alone: Sftp):
    connection = await alone.connect()
    client = await connection.start_sftp_client()
    await close_account(alone)

    assert await gateway_of(alone).stop_if_unused()

    await eventually(connection.is_closed, within_s=10)
    with pytest.raises((asyncssh.Error, OSError)):
        await client.realpath(".")


async def test_what_was_confirmed_is_handed_over_before_it_ends(alone: Sftp):
    alone.store.is_away = True
    gateway = gateway_of(alone)
    async with alone.session() as client:
        await write(client, "inbox/people.csv.part", ROWS)
        await client.rename("inbox/people.csv.part", "inbox/people.csv")
    await close_account(alone)
    assert not await gateway.stop_if_unused()

    alone.store.is_away = False
    [file] = await alone.takes()

    assert alone.content(file) == ROWS
    await eventually(gateway.stop_if_unused, within_s=10)


@pytest.mark.parametrize(
    ("name", "ends"), [("people.csv", False), ("people.csv.part", True)], ids=["counts", "cut off"]
)
async def test_what_counts_soon_is_waited_for_and_what_was_cut_off_is_not(
    alone: Sftp, name: str, ends: bool
):
    async with alone.session() as client:
        await write(client, f"inbox/{name}", ROWS)
    await close_account(alone)

    assert await gateway_of(alone).stop_if_unused() is ends

    # Either way it is there.
    assert len(alone.spooled()) == 2
