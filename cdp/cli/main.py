"""The command line: `cdp up`, `down`, `status`, `demo`, `send`, `verify`, `client`, `key`,
`config`, `campaign`, `sender`, `provider`, `suppression`, `dead-letters`, `sftp`.

Every refusal is one sentence on standard error and exit status 1.
"""

import typer

from cdp.cli import (
    campaigns,
    clients,
    cluster,
    database,
    dead_letters,
    delivery_configs,
    providers,
    senders,
    sftp,
    suppressions,
)
from cdp.cli.demo import demo
from cdp.cli.send import send

app = typer.Typer(
    name="cdp",
    help="The Communication Delivery Platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(cluster.up)
app.command()(cluster.down)
app.command()(cluster.status)
app.command()(demo)
app.command()(send)
app.command()(database.verify)
app.command()(database.migrate)
app.add_typer(clients.client_app, name="client")
app.add_typer(clients.key_app, name="key")
app.add_typer(delivery_configs.config_app, name="config")
app.add_typer(campaigns.campaign_app, name="campaign")
app.add_typer(senders.sender_app, name="sender")
app.add_typer(providers.provider_app, name="provider")
app.add_typer(suppressions.suppression_app, name="suppression")
app.add_typer(dead_letters.dead_letters_app, name="dead-letters")
app.add_typer(sftp.sftp_app, name="sftp")


if __name__ == "__main__":
    app()
