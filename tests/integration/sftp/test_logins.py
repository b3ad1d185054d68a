"""Who gets in, and that there is nothing but SFTP inside."""

import asyncio

import asyncssh
import pytest

from cdp.sftp.gateway import GatewayLimits
from cdp.sftp.login import SESSIONS_MAX
from tests.integration.sftp.rig import Sftp
from tests.waiting import eventually

OTHER = asyncssh.generate_private_key("ssh-ed25519")
REFUSED = (asyncssh.PermissionDenied, asyncssh.DisconnectError, ConnectionError)


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [
        ("ssh-ed25519", None),
        ("ecdsa-sha2-nistp256", None),
        ("ecdsa-sha2-nistp384", None),
        ("ecdsa-sha2-nistp521", None),
        ("ssh-rsa", 3072),
    ],
)
async def test_every_kind_of_key_that_is_taken_opens(sftp: Sftp, algorithm, size):
    given = {} if size is None else {"key_size": size}
    sftp.key = asyncssh.generate_private_key(algorithm, **given)
    account = await sftp.account()

    async with sftp.session() as client:
        assert await client.realpath(".") == "/"
    assert account.keys[0].fingerprint == sftp.key.get_fingerprint()


async def test_a_wrong_key_a_wrong_name_and_an_old_key_are_refused_alike(sftp: Sftp):
    for options in (
        {"client_keys": [OTHER]},
        {"username": "nobody-at-all"},
        {"username": "../../etc"},
        {"username": "root"},
    ):
        with pytest.raises(asyncssh.PermissionDenied) as refused:
            await sftp.connect(**options)
        assert "Permission denied" in refused.value.reason
    old = sftp.key
    sftp.key = OTHER
    await sftp.account()

    with pytest.raises(asyncssh.PermissionDenied):
        await sftp.connect(client_keys=[old])
    async with sftp.session():
        pass


async def test_f1_passwords_are_not_even_asked_for(sftp: Sftp):
    for method in ("password", "keyboard-interactive", "hostbased", "none"):
        with pytest.raises(asyncssh.PermissionDenied):
            await sftp.connect(
                client_keys=[], password="secret", preferred_auth=method, kbdint_auth=True
            )


async def test_sha1_and_the_like_are_not_spoken(sftp: Sftp):
    for options in (
        {"kex_algs": ["diffie-hellman-group14-sha1"]},
        {"mac_algs": ["hmac-sha1"], "encryption_algs": ["aes128-ctr"]},
        {"compression_algs": ["zlib@openssh.com"]},
    ):
        with pytest.raises(asyncssh.KeyExchangeFailed):
            await sftp.connect(**options)


async def test_f1_there_is_no_shell_no_command_no_copy_and_no_terminal(sftp: Sftp):
    async with await sftp.connect() as connection:
        for arguments in (
            {},
            {"command": "id"},
            {"command": "scp -f /etc/passwd"},
            {"command": "internal-sftp"},
            {"subsystem": "shell"},
            {"term_type": "xterm"},
        ):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(**arguments)
        with pytest.raises((asyncssh.ChannelOpenError, asyncssh.SFTPError, OSError)):
            await asyncssh.scp((connection, "/inbox"), "nowhere", recurse=True)


async def test_f1_nothing_is_forwarded(sftp: Sftp, tmp_path):
    async with await sftp.connect() as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", sftp.port)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection(str(tmp_path / "socket"))
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 9)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_path(str(tmp_path / "remote"), "127.0.0.1")
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_tun(asyncssh.SSHTunTapSession, 0)


async def test_f1_who_does_not_log_in_is_hung_up_on(stopped: Sftp):
    stopped.limits = GatewayLimits(login_s=0.5, settle_s=0.2)
    await stopped.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", stopped.port)
    writer.write(b"SSH-2.0-sleeper\r\n")

    greeting = await asyncio.wait_for(reader.read(), 10)

    assert greeting.startswith(b"SSH-2.0-CDP")
    writer.close()
    await writer.wait_closed()


async def test_strangers_do_not_keep_others_out_for_ever(stopped: Sftp):
    stopped.limits = GatewayLimits(login_s=1.0, settle_s=0.2, strangers_max=2)
    await stopped.start()
    strangers = [await asyncio.open_connection("127.0.0.1", stopped.port) for _ in range(2)]
    for reader, _ in strangers:
        await reader.readline()
    with pytest.raises(REFUSED):
        await stopped.connect()

    async def let_in() -> bool:
        try:
            async with stopped.session():
                return True
        except REFUSED:
            return False

    await eventually(let_in, within_s=10)
    for _, writer in strangers:
        writer.close()
        await writer.wait_closed()


async def test_an_account_has_so_many_connections_and_sessions(sftp: Sftp):
    connections = [await sftp.connect() for _ in range(SESSIONS_MAX)]
    with pytest.raises((asyncssh.DisconnectError, asyncssh.ChannelOpenError)):
        async with sftp.session():
            pass
    for connection in connections[1:]:
        connection.close()
        await connection.wait_closed()

    clients = [await connections[0].start_sftp_client() for _ in range(SESSIONS_MAX)]
    with pytest.raises(asyncssh.ChannelOpenError):
        await connections[0].start_sftp_client()

    clients[0].exit()
    await clients[0].wait_closed()
    async with connections[0].start_sftp_client() as client:
        assert await client.isdir("/inbox")
    connections[0].close()
    await connections[0].wait_closed()


@pytest.mark.parametrize("how", ["disabled", "removed", "key gone", "made anew"])
async def test_sessions_of_an_account_that_is_closed_end(sftp: Sftp, how: str):
    connection = await sftp.connect()
    client = await connection.start_sftp_client()
    async with client.open("/inbox/a.csv", "wb") as file:
        await file.write(b"to\r\n")
    if how == "disabled":
        await sftp.account(is_enabled=False)
    elif how == "key gone":
        sftp.key, old = OTHER, sftp.key
        await sftp.account()
        sftp.key = old
    else:
        await sftp.accounts.delete(sftp.client.id, sftp.name, seen=None)
    if how == "made anew":
        # The same login, and the same key, of another account.
        await sftp.account()

    await asyncio.wait_for(connection.wait_closed(), 2.5)

    if how != "made anew":
        with pytest.raises(asyncssh.PermissionDenied):
            await sftp.connect()
    # What was complete goes on.
    await sftp.takes()


async def test_the_host_key_is_the_same_after_a_start(sftp: Sftp):
    await sftp.stop()
    await sftp.start()

    async with sftp.session():
        pass
