"""A Postfix of the tests' own: its configuration, queue and data lie in a folder of its own.

It takes mail for `example.org` on loopback and passes it on to a `SmtpServer`, where it can be
read. The system's Postfix, whether it runs or not, is not touched.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pytest

from cdp.embedded.processes import answers, end, free_port
from cdp.testing.smtp_server import ReceivedMessage, SmtpServer
from tests.waiting import eventually

KNOWN: Final = (
    "ada@example.org",
    "jörg@example.org",
    *(f"reader{n}@example.org" for n in range(60)),
)
BUSY: Final = "busy@example.org"
MESSAGE_BYTES_MAX: Final = 1_000_000
LIFE_S: Final = 900

MAIN: Final = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.org
mynetworks =
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
relay_domains = example.org
relay_recipient_maps = inline:{{ {known} }}
relay_transport = relay:[127.0.0.1]:{onward}
message_size_limit = {size_max}
smtpd_recipient_restrictions = reject_unauth_destination,
  check_recipient_access inline:{{ {{ {busy} = 450 4.2.1 The mailbox is busy }} }}
"""
# The second listener bears two messages a minute.
MASTER: Final = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{slow} inet n - n - - smtpd
  -o smtpd_client_message_rate_limit=2 -o smtpd_client_event_limit_exceptions=
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """A running one."""

    port: int
    slow_port: int
    """Where more than two messages a minute are too many."""
    onward: SmtpServer
    """Whom it passes all on to."""
    log_file: Path

    async def passed_on(self, queue_id: str) -> ReceivedMessage:
        """The message that it has taken under this id, as the next server got it."""
        wanted = f" id {queue_id}\r\n".encode()
        return await eventually(
            lambda: next((m for m in self.onward.messages if wanted in m.content), None),
            within_s=20,
        )

    def connections(self) -> int:
        """How many connections it has taken; what only looks whether it is there counts too."""
        return self.log_file.read_text("utf-8").count(": connect from ")


def why_not() -> str | None:
    """What is missing for a Postfix of one's own."""
    if shutil.which("postfix", path=_path()) is None:
        return "Postfix is not installed (apt-get install postfix)"
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    return None


@asynccontextmanager
async def running_postfix() -> AsyncIterator[Postfix]:
    """Start one, and leave no process of it behind."""
    if reason := why_not():
        pytest.skip(reason)
    # Not below pytest's folder: nobody but its owner may enter that, and Postfix gives root up.
    folder = Path(tempfile.mkdtemp(prefix="cdp-postfix-"))
    try:
        async with SmtpServer() as onward:
            postfix = Postfix(
                port=free_port(), slow_port=free_port(), onward=onward, log_file=folder / "log"
            )
            _configure(folder, postfix)
            process = _start(folder / "config")
            try:
                await eventually(lambda: answers(postfix.port, greeting=b"220"), within_s=20)
                yield postfix
            finally:
                _end(process)
    finally:
        shutil.rmtree(folder)


def _configure(folder: Path, postfix: Postfix) -> None:
    folder.chmod(0o755)
    for name in ("config", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", user="postfix")
    known = ", ".join(f"{{ {email} = known }}" for email in (*KNOWN, BUSY))
    main = MAIN.format(
        folder=folder,
        known=known,
        busy=BUSY,
        onward=postfix.onward.port,
        size_max=MESSAGE_BYTES_MAX,
    )
    master = MASTER.format(port=postfix.port, slow=postfix.slow_port)
    (folder / "config" / "main.cf").write_text(main, "utf-8")
    (folder / "config" / "master.cf").write_text(master, "utf-8")
    # Makes the folders of the queue, too.
    _run("postfix", "-c", str(folder / "config"), "check")


def _start(config: Path) -> subprocess.Popen[bytes]:
    """Its master as a child of ours. Should we be killed, it ends by itself after a while."""
    daemons = _run("postconf", "-c", str(config), "-hx", "daemon_directory").strip()
    return subprocess.Popen(
        [f"{daemons}/master", "-d", "-e", str(LIFE_S), "-c", str(config)],
        env={"PATH": _path()},
        stdin=subprocess.DEVNULL,
        # On SIGTERM the master tells its whole group, which must not be ours.
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    process.wait(20)
    end(family, 5.0)


def _run(*command: str) -> str:
    return subprocess.run(
        command, env={"PATH": _path()}, check=True, capture_output=True, text=True
    ).stdout


def _path() -> str:
    # Debian leaves these out of a user's PATH.
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
