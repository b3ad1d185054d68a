"""The command itself: how it is interrupted, and what it prints to paste."""

import os
import shlex
import signal
from pathlib import Path

import pytest

from cdp.cli.demo import check, curl_lines, stops_once
from cdp.cli.demo_drop import Gateway
from cdp.cli.demo_run import Stage
from cdp.embedded.state import EmbeddedError
from cdp.settings import Settings
from deployments.local_cluster import LocalCluster


def _stage() -> Stage:
    return Stage(
        api="http://127.0.0.1:8000/v1",
        mailbox="http://127.0.0.1:8025/",
        shop_key="cdp_live_shop",
        bank_key="cdp_live_bank",
        run="r1",
        examples=Path("examples"),
        gateway=Gateway(host="127.0.0.1", port=2022, host_key="ssh-ed25519 AAAA"),
        ledgers=Path("demo/r1"),
        began_at=0.0,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_later_ones_change_nothing(number):
    before = signal.getsignal(number)

    def impatient() -> None:
        """Press again while the first is being obeyed."""
        try:
            os.kill(os.getpid(), number)
        finally:
            for later in (signal.SIGINT, signal.SIGTERM, number):
                os.kill(os.getpid(), later)
            obeyed.append(number)

    obeyed: list[int] = []
    with pytest.raises(KeyboardInterrupt), stops_once():
        impatient()

    assert obeyed == [number]
    assert signal.getsignal(number) is before


def test_what_is_printed_can_be_pasted_into_a_shell():
    lines = curl_lines(_stage(), "0190")

    words = [shlex.split(line) for line in lines]

    assert words[0] == ["KEY=cdp_live_shop"]
    assert "http://127.0.0.1:8000/v1/communications/0190/events" in words[2]
    assert all(line[0] in {"curl", "cdp"} for line in words[1:])
    assert len(curl_lines(_stage(), None)) == len(lines) - 1


def test_the_ledgers_lie_together():
    assert _stage().accepted_ledger.parent == _stage().delivered_ledger.parent


def test_a_run_has_a_campaign_and_a_hook_of_its_own():
    assert _stage().campaign == "spring-r1"
    assert _stage().hook == "http://127.0.0.1:8025/hooks/baskets/r1"


@pytest.mark.parametrize(
    ("given", "names"),
    [({"private_targets": False}, "CDP_PRIVATE_TARGETS"), ({"smtp_host": "x"}, "CDP_SMTP_HOST")],
)
def test_it_is_refused_where_the_mailbox_would_not_get_all(tmp_path, given, names):
    settings = Settings(state_dir=tmp_path, **given)

    with pytest.raises(EmbeddedError, match=names):
        check(LocalCluster(settings))
