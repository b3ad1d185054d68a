"""What callers send to have accounts for SFTP set, and what they get to see of them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from cdp.domain.sftp_account import KEYS_MAX
from cdp.http.models import ChannelWord, Input, Label, TemplateName
from cdp.http.outputs import Id, Output
from cdp.services.public_keys import LINE_CHARS_MAX

KeyLine = Annotated[str, Field(min_length=1, max_length=LINE_CHARS_MAX)]


class SftpAccountIn(Input):
    """What an account is from now on."""

    keys: Annotated[
        list[KeyLine],
        Field(
            min_length=1,
            max_length=KEYS_MAX,
            description="Public keys, each the line of a `.pub` file: Ed25519, ECDSA, or RSA of "
            "3072 bits or more. Comments are dropped.",
        ),
    ]
    channel: ChannelWord | None = None
    template: Annotated[
        TemplateName | None, Field(description="Of rows of its files that name none.")
    ] = None
    campaign: Label | None = None
    segment: Label | None = None
    enabled: Annotated[
        bool, Field(description="False: nobody can log in, and sessions end within two seconds.")
    ] = True


class SftpKeyOut(Output):
    """A key that opens an account."""

    algorithm: str
    fingerprint: Annotated[str, Field(description="As `ssh-keygen -l` shows it.")]
    key: str


class SftpAccountOut(Output):
    """An account for SFTP."""

    id: Id
    name: Annotated[str, Field(description="The login, unique over the platform.")]
    keys: list[SftpKeyOut]
    channel: ChannelWord | None
    template: str | None
    campaign: str | None
    segment: str | None
    enabled: bool
    quota_bytes: Annotated[
        int, Field(description="What may lie in its inbox; the operator sets it.")
    ]
    quota_files: int
    version: int
    created_at: datetime
    updated_at: datetime


class SftpAccountPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[SftpAccountOut]
    next_cursor: str | None
