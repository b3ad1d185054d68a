"""`cdp up`, `cdp down` and `cdp status`."""

import signal
from typing import Any

import typer
from rich.table import Table

from cdp.cli.clients import ensure_client
from cdp.cli.shell import err, out, refusals, settings
from cdp.cli.start import bring_up_apart
from deployments.local_cluster import LocalCluster

FIRST_CLIENT = "demo"


def up() -> None:
    """Start the platform on this machine, and print where to look.

    Example: cdp up
    """
    with refusals():
        cluster = LocalCluster(settings())
        running = cluster.running()
        if running and "ray" in running and cluster.is_ready():
            out.print(f"Already running: {', '.join(running)} and the platform.")
        else:
            if running:
                out.print(f"Already running: {', '.join(running)}.")
            bring_up(cluster)
        key = ensure_client(FIRST_CLIENT)
        show_addresses(cluster, key)


def bring_up(cluster: LocalCluster) -> None:
    """Start with visible progress; what was started is stopped if it does not come up."""
    try:
        with out.status("Starting") as progress:
            bring_up_apart(cluster, lambda step: progress.update(f"{step} …"))
    except BaseException:
        err.print("Stopping what was started …")
        end(cluster)
        raise


def end(cluster: LocalCluster) -> int:
    """Stop everything; a second Ctrl-C does not interrupt it."""
    handlers = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        return cluster.down(lambda text: None)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def show_addresses(cluster: LocalCluster, key: str | None) -> None:
    """Where to look, a line each: a table would cut what a narrow terminal has no room for."""
    addresses = cluster.addresses()
    lines = {"API": addresses.api, "API docs": addresses.docs}
    if addresses.mailbox:
        lines["Mailbox"] = f"{addresses.mailbox}  (SMTP {addresses.mailbox_smtp})"
    lines["Ray dashboard"] = f"{addresses.dashboard}  (token: {cluster.state.ray_token_file})"
    if key:
        lines["API key"] = f"{key}  (client {FIRST_CLIENT})"
    for name, value in lines.items():
        out.print(f"{name:14} {value}", soft_wrap=True, highlight=False, markup=False)


def down() -> None:
    """Stop the platform and everything that was started for it.

    Example: cdp down
    """
    with refusals():
        cluster = LocalCluster(settings())
        with out.status("Stopping …"):
            end(cluster)
        out.print("Stopped. The data stays in the state folder.")


def status() -> None:
    """Show components, backlog, oldest age and rates.

    Example: cdp status
    """
    with refusals():
        cluster = LocalCluster(settings())
        running = cluster.running()
        if "ray" not in running and cluster.settings.ray_address is None:
            out.print(f"Not running.{' Only: ' + ', '.join(running) if running else ''}")
            raise typer.Exit(1)
        show_status(cluster.ask_supervisor("status"))


def show_status(state: dict[str, Any]) -> None:
    """The Supervisor's answer as tables."""
    table = Table("component", "kind", "state", "pid", "detail")
    for component in state["components"]:
        detail = ", ".join(
            f"{name} {component[name]}"
            for name in ("partitions", "waiting", "window", "breakers", "roster", "final")
            if name in component
        )
        table.add_row(
            component["name"],
            component["kind"],
            "[green]up[/green]" if component["up"] else "[red]silent[/red]",
            str(component["pid"]),
            detail,
        )
    out.print(table)
    oldest = ", ".join(f"{lane} {age:.1f} s" for lane, age in state["oldest_s"].items())
    out.print(
        f"Backlog {state['backlog']:,} unfinished of {state['clients_with_backlog']} clients; "
        f"oldest due: {oldest}; delivering {state['delivered_per_s']:.0f}/s."
    )
