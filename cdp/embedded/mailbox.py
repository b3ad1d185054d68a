"""The mailbox: an SMTP server that keeps what it gets, and pages that show it.

`python -m cdp.embedded.mailbox`, started by the keeper. It stands for every mailbox of the world
on a machine that should send nothing out. Both ports are on the loopback address.

Some addresses are answered with trouble, by the tag behind a plus sign:

    ada+bounce@example.org    550 5.1.1, always
    ada+full@example.org      552 5.2.2, always
    ada+policy@example.org    550 5.7.1, always
    ada+greylist@example.org  451 4.7.1 at the first attempt, then taken
    ada+soft2@example.org     451 4.3.0 at the first 2 attempts (1 to 9), then taken
    ada+slow@example.org      taken, answered after 3 s
    ada+drop@example.org      the first time: not kept, connection cut after the final dot
    ada+dropkept@example.org  the first time: kept, connection cut before the answer

An attempt is known by sender and recipient, a cut message also by its Message-ID.

It falls silent on SIGUSR1 or `POST /api/pause`, and answers again on SIGUSR2 or
`POST /api/resume`.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Final

import uvicorn

from cdp.embedded.keeper_status import MAILBOX_URI_VARIABLE
from cdp.embedded.mailbox_pages import application
from cdp.embedded.mailbox_smtp import Gate, Intake, listen
from cdp.storage.database import Database
from cdp.storage.mailbox import MailboxMessages

LAST_WRITES_S: Final = 2.0
LAST_ANSWERS_S: Final = 0.1
HTTP_CONNECTIONS_MAX: Final = 1_000
"""Kept-open ones count too, and each worker may keep a hundred to a webhook's host."""


async def serve(*, mongo_uri: str, smtp_port: int, http_port: int) -> None:
    """Be the mailbox until SIGTERM."""
    database = Database(mongo_uri, component="mailbox")
    messages = MailboxMessages(database)
    gate, intake = Gate(), Intake(messages)
    _obey_signals(gate)
    server = await listen(smtp_port, intake, gate)
    writing = asyncio.create_task(intake.run())
    pages = uvicorn.Server(
        uvicorn.Config(
            application(messages, intake, gate),
            host="127.0.0.1",
            port=http_port,
            access_log=False,
            log_level="warning",
            lifespan="off",
            ws="none",
            limit_concurrency=HTTP_CONNECTIONS_MAX,
            timeout_graceful_shutdown=1,
        )
    )
    try:
        # uvicorn returns at SIGTERM.
        await pages.serve()
    finally:
        server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITES_S):
                await intake.idle()
            # What is durable should be answered too, or it comes a second time.
            await asyncio.sleep(LAST_ANSWERS_S)
        writing.cancel()
        await database.close()


def _obey_signals(gate: Gate) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, gate.pause)
    loop.add_signal_handler(signal.SIGUSR2, gate.resume)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn catches these while it serves and raises them once more afterwards, which
        # would end the process before its last writes.
        loop.add_signal_handler(number, _nothing)


def _nothing() -> None:
    """What a repeated signal does."""


def main() -> int:
    """Be the mailbox."""
    parser = argparse.ArgumentParser(prog="python -m cdp.embedded.mailbox")
    parser.add_argument("--smtp-port", type=int, default=2525)
    parser.add_argument("--http-port", type=int, default=8025)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uri = os.environ.get(MAILBOX_URI_VARIABLE)
    if not uri:
        parser.error(f"{MAILBOX_URI_VARIABLE} must hold the URI of a MongoDB")
    asyncio.run(serve(mongo_uri=uri, smtp_port=arguments.smtp_port, http_port=arguments.http_port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
