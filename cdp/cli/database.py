"""`cdp migrate` and `cdp verify`."""

from pathlib import Path
from typing import Annotated

import typer

from cdp.cli.shell import out, refusals, with_wiring
from cdp.cli.verify import exit_code, print_verification
from cdp.services.verification_service import Verification
from cdp.wiring import Wiring


def migrate() -> None:
    """Bring the database's collections and indexes up to date.

    Example: cdp migrate
    """

    async def work(wiring: Wiring) -> list[int]:
        return await wiring.migrate()

    with refusals():
        done = with_wiring("migrate", work)
    out.print(f"Applied: {', '.join(map(str, done))}." if done else "Nothing to apply.")


def verify(
    settled: Annotated[
        bool, typer.Option(help="Demand that nothing is in motion any more.")
    ] = False,
    accepted: Annotated[
        Path | None, typer.Option(help='NDJSON of what callers were answered 202: {"id": …}.')
    ] = None,
    delivered: Annotated[
        Path | None, typer.Option(help='NDJSON of what the provider got: {"message_id": …}.')
    ] = None,
) -> None:
    """Read the whole log and prove that the books balance; exit status 1 if they do not.

    Example: cdp verify --settled
    """

    async def work(wiring: Wiring) -> Verification:
        return await wiring.verification_service().verify(
            settled=settled, callers_ledger=accepted, provider_ledger=delivered
        )

    with refusals():
        verification = with_wiring("verify", work)
    print_verification(out, verification)
    raise typer.Exit(exit_code(verification))
