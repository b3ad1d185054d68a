"""What a sender may be on each channel."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cdp.channels import email, sms
from cdp.domain.sender import Identity

DOMAIN_CHARS_MAX: Final = 253

_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}")


class UnfitSender(ValueError):
    """The channel can't have such a sender."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


def normalise(identity: Identity) -> Identity:
    """The one form of a sender's identity.

    Raises:
        UnfitSender: a field is not what the channel takes.
    """
    if identity.channel == "email":
        return _email(identity)
    if identity.channel == "sms":
        address = _checked("originator", sms.normalise_sender, identity.address)
        return Identity(channel="sms", address=address)
    return Identity(channel=identity.channel)


def _email(identity: Identity) -> Identity:
    address = _checked("email", email.normalise, identity.address)
    reply_to = identity.reply_to
    if reply_to is not None:
        reply_to = _checked("reply_to", email.normalise, reply_to)
    try:
        email.check_header_text(identity.display_name, what="the name")
    except ValueError as error:
        raise UnfitSender("display_name", str(error)) from None
    dkim_domain = identity.dkim_domain
    if dkim_domain is not None:
        dkim_domain = _signing_domain(dkim_domain.lower(), address)
    return replace(identity, address=address, reply_to=reply_to, dkim_domain=dkim_domain)


def _checked(field: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise UnfitSender(field, str(error)) from None


def _signing_domain(domain: str, address: str) -> str:
    """A domain that aligns with the address, as DMARC asks (RFC 7489, section 3.1.1)."""
    if len(domain) > DOMAIN_CHARS_MAX or _DOMAIN.fullmatch(domain) is None:
        raise UnfitSender("dkim_domain", "this is not the name of a domain")
    own = address.rpartition("@")[2].lower()
    if own != domain and not own.endswith(f".{domain}"):
        raise UnfitSender("dkim_domain", "this must be the address's domain, or one above it")
    return domain
