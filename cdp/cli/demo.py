"""`cdp demo`: thousands of real requests through the real platform, and the books to prove it."""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import psutil
import typer

from cdp.cli.clients import client_with_sender, keep_key, kept_key
from cdp.cli.cluster import end
from cdp.cli.demo_drop import Gateway
from cdp.cli.demo_facts import Facts
from cdp.cli.demo_progress import Screen
from cdp.cli.demo_report import adds_up, print_report, times, verdict
from cdp.cli.demo_run import Stage, demonstrate
from cdp.cli.demo_setup import story
from cdp.cli.shell import out, refusals, settings, with_wiring
from cdp.cli.start import bring_up_apart
from cdp.cli.verify import print_verification
from cdp.domain.delivery_config import ALL, DeliveryConfig
from cdp.embedded.state import EmbeddedError
from cdp.provider_wiring import reaches_private
from cdp.services.verification_service import Verification
from cdp.wiring import Wiring
from deployments.local_cluster import LocalCluster

EXAMPLES: Final = Path(__file__).parent.parent.parent / "examples"
SHOP: Final = ("shop", "hello@shop.example", "Linden & Loom")
BANK: Final = ("bank", "no-reply@bank.example", "Harbour Bank")
RETRIES: Final = DeliveryConfig(attempts_max=4, backoff_initial_s=1.5, backoff_cap_s=10.0)
"""So that a temporary error costs the demonstration seconds, not the hours that email takes."""
KEY_ENDS: Final = timedelta(days=7)
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """An API key of each client."""

    shop: str
    bank: str


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the platform up and print where to look.")
    ] = False,
) -> None:
    """Send a campaign on two channels and urgent messages beside it; report, prove the books.

    Example: cdp demo --keep
    """
    began_at = psutil.Process().create_time()
    with refusals(), stops_once():
        cluster = LocalCluster(settings())
        check(cluster)
        was_up = is_up(cluster)
        try:
            if not was_up:
                _start(cluster)
            up_s = None if was_up else time.time() - began_at
            good = perform(cluster, began_at=began_at, up_s=up_s, keep=keep or was_up)
            if not (keep or was_up):
                _stop(cluster, was_up=False)
                out.print("Stopped. To look around in it: cdp demo --keep", highlight=False)
        except BaseException as error:
            _stop(cluster, was_up=was_up)
            if isinstance(error, KeyboardInterrupt):
                state = "stays up" if was_up else "is stopped; nothing is left running"
                out.print(f"Interrupted. The platform {state}.", highlight=False)
                raise typer.Exit(INTERRUPTED) from None
            raise
    raise typer.Exit(0 if good else 1)


@contextlib.contextmanager
def stops_once() -> Iterator[None]:
    """Ctrl-C, a closed terminal and SIGTERM stop the command; a second one changes nothing.

    So the platform is always brought down in order, however impatient the keys are.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_: int, __: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check(cluster: LocalCluster) -> None:
    """Refuse where the demonstration can't be given.

    Raises:
        EmbeddedError: the examples are missing, or there is no mailbox that can be sent to.
    """
    if not (EXAMPLES / "spring-campaign.csv").is_file():
        raise EmbeddedError(f"The demo needs the folder {EXAMPLES}: run it in a checkout.")
    if cluster.addresses().mailbox is None:
        raise EmbeddedError(
            "The demo sends only to the embedded mailbox: unset CDP_SMTP_HOST for it."
        )
    if not reaches_private(cluster.settings):
        raise EmbeddedError(
            "The demo's webhooks go to the mailbox on this machine: set CDP_PRIVATE_TARGETS=true."
        )


def is_up(cluster: LocalCluster) -> bool:
    """Whether the whole platform runs already."""
    return "ray" in cluster.running() and cluster.is_ready()


def perform(cluster: LocalCluster, *, began_at: float, up_s: float | None, keep: bool) -> bool:
    """Give the demonstration on a platform that is up; whether all of it is as it must be."""
    keys = with_wiring("cli", prepare)
    if keep and kept_key() is None:
        # So that `cdp send` works in it as it does after `cdp up`.
        keep_key(keys.shop)
    addresses = cluster.addresses()
    assert addresses.mailbox is not None
    run = f"r{secrets.token_hex(2)}"
    stage = Stage(
        api=addresses.api,
        mailbox=addresses.mailbox,
        shop_key=keys.shop,
        bank_key=keys.bank,
        run=run,
        examples=EXAMPLES,
        gateway=gateway_of(cluster),
        ledgers=cluster.state.root / "demo" / run,
        began_at=began_at,
    )
    for text in story(stage.campaign):
        out.print(text, highlight=False, soft_wrap=True)
    out.print()
    with Screen(out) as screen:
        facts = asyncio.run(demonstrate(stage, screen.show))
    print_report(out, facts)
    verification = with_wiring("verify", lambda wiring: audit(wiring, stage))
    out.print()
    print_verification(out, verification)
    good = adds_up(facts)
    out.print(verdict(facts), style="bold green" if good else "bold red", highlight=False)
    out.print(times(facts, up_s=up_s, whole_s=time.time() - began_at), highlight=False)
    if keep:
        _where_to_look(cluster, stage, facts)
    return good and verification.is_clean


def gateway_of(cluster: LocalCluster) -> Gateway:
    """Where this installation takes files by SFTP."""
    given, kept = cluster.settings.sftp_host_key, cluster.state
    key = kept.sftp_host_key if given is None else given.get_secret_value()
    return Gateway.of(cluster.settings.sftp_host, cluster.settings.sftp_port, key)


async def prepare(wiring: Wiring) -> Keys:
    """The two clients with their senders, their retry policies and a key each."""
    texts = []
    expires_at = datetime.now(UTC) + KEY_ENDS
    for name, email, sender in (SHOP, BANK):
        client = await client_with_sender(wiring, name, sender_email=email, sender_name=sender)
        await wiring.delivery_config_service().set(client.id, ALL, RETRIES)
        key = await wiring.access_service().create_key(
            client.id, name="cdp demo", expires_at=expires_at
        )
        texts.append(key.text)
    return Keys(shop=texts[0], bank=texts[1])


async def audit(wiring: Wiring, stage: Stage) -> Verification:
    """The books, held against what callers were told and what the mailbox got."""
    return await wiring.verification_service().verify(
        callers_ledger=stage.accepted_ledger, provider_ledger=stage.delivered_ledger
    )


def _start(cluster: LocalCluster) -> None:
    with out.status("Starting") as progress:
        bring_up_apart(cluster, lambda step: progress.update(f"{step} …"))


def _stop(cluster: LocalCluster, *, was_up: bool) -> None:
    if was_up:
        return
    with out.status("Stopping the platform …"):
        end(cluster)


def _where_to_look(cluster: LocalCluster, stage: Stage, facts: Facts) -> None:
    addresses = cluster.addresses()
    rows = (
        ("Mailbox", addresses.mailbox),
        ("Shop's webhooks", f"{addresses.mailbox}?to={stage.hook}"),
        ("API docs", addresses.docs),
        ("Ray dashboard", f"{addresses.dashboard}  (token: {cluster.state.ray_token_file})"),
        ("Shop's API key", stage.shop_key),
        ("Bank's API key", stage.bank_key),
        ("Ledgers", f"{stage.ledgers}  (for cdp verify --accepted … --delivered …)"),
    )
    out.print("\nWhere to look", style="bold")
    for name, text in rows:
        # Not a table: it would cut a key short on a narrow terminal.
        out.print(f"{name:<16}{text}", highlight=False, soft_wrap=True, markup=False)
    out.print()
    for text in curl_lines(stage, facts.example):
        out.print(text, highlight=False, soft_wrap=True, markup=False)
    out.print("\nStop it with: cdp down", highlight=False)


def curl_lines(stage: Stage, example: str | None) -> list[str]:
    """Lines to paste into a shell."""
    auth = '-H "Authorization: Bearer $KEY"'
    lines = [
        f"KEY={stage.shop_key}",
        f"curl -s {auth} '{stage.api}/communications?status=undeliverable&limit=3'",
    ]
    if example is not None:
        lines.append(f"curl -s {auth} {stage.api}/communications/{example}/events")
    lines.append('cdp send --to you@example.org --subject Hello --text "It works."')
    lines.append(
        f"curl -s {auth} {stage.api}/communications --json "
        '\'{"channel": "email", "to": [{"email": "you@example.org"}], '
        '"content": {"subject": "Hello", "text": "It works."}}\''
    )
    return lines
