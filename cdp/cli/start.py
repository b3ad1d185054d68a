"""Brings the platform up in a process of its own, for a command that goes on afterwards.

Whoever deploys becomes a driver of the Ray cluster: its signals, its log and in the end its life
are Ray's, too. The commands must obey Ctrl-C at every moment and outlive the cluster, so a child
deploys and ends.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Final

from cdp.cli.shell import settings
from cdp.embedded.state import EmbeddedError
from cdp.errors import CdpError
from cdp.settings import WrongSettings
from deployments.local_cluster import LocalCluster

MODULE: Final = "cdp.cli.start"
REFUSED: Final = 3
"""The child's exit status when the last line that it wrote is the reason."""


def bring_up_apart(cluster: LocalCluster, say: Callable[[str], None]) -> None:
    """Start what is not running, and wait until requests are answered.

    Args:
        cluster: the platform; what was started stays when this is interrupted.
        say: is told of each step.

    Raises:
        EmbeddedError: with one clear sentence.
    """
    log = cluster.state.log_file("up")
    with log.open("wb") as complaints:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", MODULE],
            env=cluster.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            # Ctrl-C at the terminal is for the command, which then ends all there is.
            start_new_session=True,
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                say(line.strip())
            child.wait()
        finally:
            # It must not start anything more while that is being ended.
            child.kill()
            child.wait()
    if child.returncode == REFUSED:
        raise EmbeddedError(log.read_text(encoding="utf-8", errors="replace").splitlines()[-1])
    if child.returncode != 0:
        raise EmbeddedError(f"The platform did not start: see {log}.")


def main() -> int:
    """Be the child: each step on a line of its own."""

    def say(step: str) -> None:
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()

    try:
        LocalCluster(settings()).up(say)
    except (CdpError, EmbeddedError, WrongSettings) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
