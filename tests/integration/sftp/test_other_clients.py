"""The clients that people have: OpenSSH's own, in batches, and paramiko."""

import asyncio
import importlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from cdp.sftp.gateway import GatewayLimits
from tests.integration.sftp.rig import HOST_KEY, RESULTS, ROWS, Sftp
from tests.waiting import eventually

# On Debian `make test` sees to it that it is there; what is skipped is on other systems.
needs_openssh = pytest.mark.skipif(
    shutil.which("sftp") is None, reason="openssh-client is not installed"
)


@dataclass(kw_only=True)
class OpenSsh:
    """OpenSSH's programs, with nothing of whoever runs the tests."""

    sftp: Sftp
    folder: Path

    def __post_init__(self) -> None:
        key, hosts = self.folder / "key", self.folder / "hosts"
        key.write_bytes(self.sftp.key.export_private_key())
        key.chmod(0o600)
        line = HOST_KEY.export_public_key().decode()
        hosts.write_text(f"[127.0.0.1]:{self.sftp.port} {line}")

    @property
    def options(self) -> list[str]:
        said = {
            "UserKnownHostsFile": f"{self.folder}/hosts",
            "IdentityFile": f"{self.folder}/key",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        return ["-F", os.devnull, *(f"-o{name}={value}" for name, value in said.items())]

    async def run(self, program: str, *arguments: str, text: str = "") -> tuple[int, str]:
        """The exit status of a program, and what it has printed."""
        process = await asyncio.create_subprocess_exec(
            program,
            *self.options,
            *arguments,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(process.communicate(text.encode()), 30)
        assert process.returncode is not None
        return process.returncode, printed.decode()

    async def batch(self, *lines: str) -> tuple[int, str]:
        """The exit status of `sftp` with these commands, and what it has printed."""
        place = f"{self.sftp.name}@127.0.0.1"
        text = "".join(f"{line}\n" for line in lines)
        return await self.run("sftp", f"-P{self.sftp.port}", "-b-", place, text=text)

    async def ssh(self, *arguments: str) -> tuple[int, str]:
        """The exit status of `ssh`, and what it has printed."""
        place = f"{self.sftp.name}@127.0.0.1"
        options = [each for each in arguments if each.startswith("-")]
        command = [each for each in arguments if not each.startswith("-")]
        return await self.run("ssh", f"-p{self.sftp.port}", *options, place, *command)


@pytest_asyncio.fixture
async def openssh(sftp: Sftp, tmp_path: Path) -> OpenSsh:
    folder = tmp_path / "laptop"
    folder.mkdir()
    (folder / "rows.csv").write_bytes(ROWS)
    return OpenSsh(sftp=sftp, folder=folder)


async def finish(sftp: Sftp) -> None:
    """The platform has worked on its newest file, and the gateway knows."""
    [file, *_] = await sftp.takes()
    change = {"$set": {"state": "done", "checkpoint.rows": 1}}
    await sftp.database["files"].update_one({"_id": file.id}, change)

    async def shown() -> bool:
        async with sftp.session() as client:
            return f"{file.name}.results.csv" in await client.listdir("/results")

    await eventually(shown, within_s=10)


@needs_openssh
async def test_openssh_puts_renames_lists_and_gets(openssh: OpenSsh):
    status, printed = await openssh.batch(
        "put -p rows.csv /inbox/rows.csv.part",
        "rename /inbox/rows.csv.part /inbox/rows.csv",
        "ls -l /",
    )
    assert status == 0, printed
    assert "inbox" in printed
    [file] = await openssh.sftp.takes()
    assert (file.name, openssh.sftp.content(file)) == ("rows.csv", ROWS)
    await finish(openssh.sftp)

    status, printed = await openssh.batch(
        "cd results", "pwd", "ls -l", "get *.csv", "cd ..", "get processed/rows.csv back.csv"
    )

    assert status == 0, printed
    assert (openssh.folder / "rows.csv.results.csv").read_bytes() == RESULTS
    assert (openssh.folder / "back.csv").read_bytes() == ROWS


@needs_openssh
async def test_openssh_resumes_an_upload(openssh: OpenSsh):
    connection = await openssh.sftp.connect()
    client = await connection.start_sftp_client()
    file = await client.open("/inbox/rows.csv", "wb")
    await file.write(ROWS[:100_000])
    connection.close()
    await connection.wait_closed()

    async def resumed() -> bool:
        status, _ = await openssh.batch("reput rows.csv /inbox/rows.csv")
        return status == 0

    await eventually(resumed, within_s=10)
    [taken] = await openssh.sftp.takes()
    assert openssh.sftp.content(taken) == ROWS


@needs_openssh
@pytest.mark.parametrize(
    "line",
    [
        "mkdir /inbox/sub",
        "rmdir /inbox",
        "ln -s /etc/passwd /inbox/link",
        "ln /inbox/a /inbox/b",
        "chmod 777 /inbox",
        "chown 0 /inbox",
        "get /etc/passwd",
        "get ../../../../etc/passwd",
        "put rows.csv ../../tmp/rows.csv",
        "put rows.csv /results/rows.csv",
        "rm /processed/rows.csv",
        "df /inbox",
    ],
)
async def test_openssh_is_told_what_is_refused(openssh: OpenSsh, line: str):
    status, _ = await openssh.batch(line)

    assert status != 0
    assert openssh.sftp.spooled() == []


@needs_openssh
async def test_openssh_gets_no_shell_no_command_and_no_forwarding(openssh: OpenSsh):
    for arguments in ((), ("id",), ("-tt",), ("-A", "id"), ("-X", "id"), ("-W127.0.0.1:22",)):
        status, printed = await openssh.ssh(*arguments)
        assert status != 0, (arguments, printed)
        assert "uid=" not in printed
    forwarded, _ = await openssh.ssh("-N", "-oExitOnForwardFailure=yes", "-R0:127.0.0.1:9")
    assert forwarded != 0
    place = f"{openssh.sftp.name}@127.0.0.1"
    copied, _ = await openssh.run(
        "scp", "-O", f"-P{openssh.sftp.port}", "rows.csv", f"{place}:/inbox/rows.csv"
    )
    assert copied != 0


@needs_openssh
async def test_a_client_that_does_not_answer_is_hung_up_on(stopped: Sftp, tmp_path: Path):
    stopped.limits = GatewayLimits(settle_s=0.2, keepalive_s=0.2)
    await stopped.start()
    gateway = stopped.gateway
    assert gateway is not None
    (tmp_path / "laptop").mkdir()
    openssh = OpenSsh(sftp=stopped, folder=tmp_path / "laptop")
    place = f"{stopped.name}@127.0.0.1"
    process = await asyncio.create_subprocess_exec(
        *("ssh", *openssh.options, f"-p{stopped.port}", "-s", place, "sftp"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        # The shortest greeting, so that the session is known to be there.
        process.stdin.write(bytes.fromhex("000000050100000003"))
        await asyncio.wait_for(process.stdout.readexactly(4), 10)
        assert gateway.connections == 1

        process.send_signal(signal.SIGSTOP)

        await eventually(lambda: gateway.connections == 0, within_s=10)
    finally:
        process.kill()
        await process.communicate()


@needs_openssh
async def test_the_scp_of_today_speaks_sftp_and_is_as_good(openssh: OpenSsh):
    place = f"{openssh.sftp.name}@127.0.0.1:/inbox/rows.csv"

    status, printed = await openssh.run("scp", "-s", f"-P{openssh.sftp.port}", "rows.csv", place)

    assert status == 0, printed
    [taken] = await openssh.sftp.takes()
    assert openssh.sftp.content(taken) == ROWS


@needs_openssh
async def test_openssh_with_another_key_or_a_password_stays_outside(openssh: OpenSsh):
    (openssh.folder / "key").unlink()
    for extra in ((), ("-oPreferredAuthentications=password,keyboard-interactive",)):
        status, printed = await openssh.run(
            "sftp", *extra, f"-P{openssh.sftp.port}", "-b-", f"{openssh.sftp.name}@127.0.0.1"
        )
        assert status != 0
        assert "Permission denied (publickey)" in printed


async def test_paramiko_puts_renames_stats_and_gets(openssh: OpenSsh):
    try:
        paramiko = importlib.import_module("paramiko")
    except ImportError:
        pytest.skip("paramiko is not installed")

    def work(first: bool) -> list[str]:
        transport = paramiko.Transport(("127.0.0.1", openssh.sftp.port))
        try:
            transport.start_client(timeout=10)
            shown = transport.get_remote_server_key().get_base64()
            assert shown in HOST_KEY.export_public_key().decode()
            key = paramiko.Ed25519Key.from_private_key_file(str(openssh.folder / "key"))
            transport.auth_publickey(openssh.sftp.name, key)
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            if first:
                local = str(openssh.folder / "rows.csv")
                client.put(local, "/inbox/rows.csv.filepart")
                client.rename("/inbox/rows.csv.filepart", "/inbox/rows.csv")
                client.put(local, "/inbox/more.csv.part")
                with client.open("/inbox/more.csv.part", "a") as file:
                    file.write(b"x")
                assert client.stat("/inbox/more.csv.part").st_size == len(ROWS) + 1
                with pytest.raises(OSError, match="other folders"):
                    client.mkdir("/inbox/sub")
            else:
                client.chdir("/results")
                client.get("rows.csv.results.csv", str(openssh.folder / "results.csv"))
            return sorted(client.listdir("/"))
        finally:
            transport.close()

    assert await asyncio.to_thread(work, True) == ["inbox", "processed", "rejected", "results"]
    await finish(openssh.sftp)
    await asyncio.to_thread(work, False)

    assert (openssh.folder / "results.csv").read_bytes() == RESULTS
