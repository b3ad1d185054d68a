"""What an email address and a header may be, and the limits of an email.

Everything that takes an address or a header from a client asks here first, and the MIME builder
asks again: what passes cannot start a second header, a second command or a second recipient.
"""

import binascii
import quopri
import re
import unicodedata
from typing import Final

from email_validator import EmailNotValidError, validate_email

from cdp.channels.content import Parts, UnfitContent, require

ADDRESS_OCTETS_MAX: Final = 254
LOCAL_PART_OCTETS_MAX: Final = 64
SUBJECT_CHARS_MAX: Final = 998
DISPLAY_NAME_CHARS_MAX: Final = 320
HEADER_NAME_CHARS_MAX: Final = 76
HEADER_VALUE_CHARS_MAX: Final = 8_000
HEADER_LINE_OCTETS_MAX: Final = 998
HEADERS_MAX: Final = 50
COPIES_MAX: Final = 50

OWNED_HEADERS: Final = frozenset(
    {
        "apparently-to",
        "authentication-results",
        "bcc",
        "cc",
        "date",
        "delivered-to",
        "dkim-signature",
        "domainkey-signature",
        "errors-to",
        "from",
        "message-id",
        "mime-version",
        "received",
        "received-spf",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)
"""Headers the platform writes itself, or that only a receiving server may write."""

OWNED_HEADER_PREFIXES: Final = ("arc-", "content-", "resent-")

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_ADDRESS: Final = re.compile(
    rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?P<domain>(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?)"
)
# Controls (C0, DEL, C1), the Unicode line separators and lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE_IN_ADDRESS: Final = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FIELD_NAME: Final = re.compile(r"[!-9;-~]+")
# As lenient as the standard library's decoder: spaces inside the text are tolerated, since a
# reader that tolerates them would decode what a strict check has let through.
_ENCODED_WORD: Final = re.compile(
    r"=\?(?P<charset>[^?]*)\?(?P<encoding>[bBqQ])\?(?P<text>.*?)\?=", re.DOTALL
)
_DECODINGS_MAX: Final = 3


def normalise(address: str) -> str:
    """The one form in which the platform keeps, compares and sends to an address.

    The domain becomes lower case A-labels; the local part is kept, in NFC, since its case is
    the receiving server's affair. Nothing is looked up.

    Raises:
        ValueError: not an address, or one of a kind that is not sent to; the message says why
            and does not repeat the address.
    """
    if len(address) > ADDRESS_OCTETS_MAX:
        raise ValueError(f"the address is longer than {ADDRESS_OCTETS_MAX} characters")
    if "=?" in address:
        raise ValueError("the address holds an encoded word, which some readers would decode")
    match = _PLAIN_ADDRESS.fullmatch(address)
    if match is None or "--" in match["domain"]:
        return _normalise_by_library(address)
    local, domain = match.groups()
    if len(local) > LOCAL_PART_OCTETS_MAX:
        raise ValueError(f"the part before the @ is longer than {LOCAL_PART_OCTETS_MAX} characters")
    return f"{local}@{domain.lower()}"


def _normalise_by_library(address: str) -> str:
    """Everything that is not a plain ASCII address; A-labels too, for they can be wrong."""
    if _UNSAFE_IN_ADDRESS.search(address):
        raise ValueError("the address holds a space or a control character")
    try:
        valid = validate_email(
            address,
            allow_smtputf8=True,
            allow_empty_local=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            check_deliverability=False,
            # Names such as `.internal` and `.test` are used with private mail servers.
            globally_deliverable=False,
        )
    except EmailNotValidError as error:
        raise ValueError(_without_address(str(error), address)) from None
    domain = (valid.ascii_domain or "").lower()
    if "." not in domain:
        raise ValueError("the domain of the address has no dot")
    if domain.rpartition(".")[2].isdigit():
        raise ValueError("the domain of the address is a number, not a name")
    local = unicodedata.normalize("NFC", valid.local_part)
    if len(local.encode()) > LOCAL_PART_OCTETS_MAX:
        raise ValueError(f"the part before the @ is longer than {LOCAL_PART_OCTETS_MAX} bytes")
    normal = f"{local}@{domain}"
    if len(normal.encode()) > ADDRESS_OCTETS_MAX:
        raise ValueError(f"the address is longer than {ADDRESS_OCTETS_MAX} bytes")
    return normal


def _without_address(reason: str, address: str) -> str:
    """The library quotes parts of what it refuses; this reason may be logged, so they go."""
    for part in {address, *address.split("@")} - {""}:
        if len(part) > 1:
            reason = reason.replace(part, "…")
    return f"not an email address: {reason}"


def finish(parts: Parts) -> Parts:
    """The content as it is sent, its subject without the space around it.

    Raises:
        UnfitContent: there is no body, or the subject can't stand in a header (rule E1).
    """
    require(parts, "text", "html")
    subject = parts.get("subject", "").strip()
    if len(subject) > SUBJECT_CHARS_MAX or not subject.isprintable():
        detail = "It is longer than a header may be, or holds a character that is not printed."
        raise UnfitContent("subject_invalid", "subject", detail)
    return {**parts, "subject": subject}


def suppression_key(address: str) -> str:
    """What an address is suppressed under: all lower case, so that no spelling escapes it.

    Raises:
        ValueError: as `normalise`.
    """
    return unicodedata.normalize("NFC", normalise(address).lower())


def needs_smtputf8(address: str) -> bool:
    """Whether only a server with SMTPUTF8 can take this address (RFC 6531)."""
    return not address.isascii() and not address.rpartition("@")[0].isascii()


def check_header(name: str, value: str) -> None:
    """Refuse a header that a client may not set, or that would not stay one header.

    Raises:
        ValueError: with the reason; the value is not repeated.
    """
    if len(name) > HEADER_NAME_CHARS_MAX or not _FIELD_NAME.fullmatch(name):
        raise ValueError("a header name must be 1 to 76 printable ASCII characters without a colon")
    lowered = name.lower()
    if lowered in OWNED_HEADERS or lowered.startswith(OWNED_HEADER_PREFIXES):
        raise ValueError(f"the header {name} is set by the platform")
    check_header_text(value, what=f"the header {name}")


def check_header_text(value: str, *, what: str) -> None:
    """Refuse text that is not safe in a header, also once a reader decodes it (RFC 2047).

    Args:
        what: names the text in the refusal, such as `the subject`.

    Raises:
        ValueError: with the reason; the value is not repeated.
    """
    if len(value) > HEADER_VALUE_CHARS_MAX:
        raise ValueError(f"{what} is longer than {HEADER_VALUE_CHARS_MAX} characters")
    for _ in range(_DECODINGS_MAX):
        if _UNSAFE.search(value):
            raise ValueError(f"{what} holds a line break, a control character or half a character")
        if not holds_encoded_word(value):
            return
        # Nothing ends behind the last "?="; searching there would cost the square of its length.
        end = value.rindex("?=") + 2
        value = _ENCODED_WORD.sub(_decoded, value[:end]) + value[end:]
    raise ValueError(f"{what} holds encoded words inside encoded words")


def holds_encoded_word(value: str) -> bool:
    """Whether a reader would decode part of this text instead of showing it as it stands."""
    if "=?" not in value:
        return False
    return _ENCODED_WORD.search(value, 0, value.rfind("?=") + 2) is not None


def _decoded(word: re.Match[str]) -> str:
    """What a lenient reader makes of one encoded word, unsafe raw bytes included."""
    text = word["text"].encode("utf-8", "replace")
    if word["encoding"] in "bB":
        try:
            raw = binascii.a2b_base64(text + b"===")
        except binascii.Error:
            raise ValueError("a header holds a malformed encoded word") from None
    else:
        raw = quopri.decodestring(text, header=True)
    by_byte = raw.decode("latin-1")
    # C1 bytes are ordinary parts of UTF-8; what controls a reader acts on is below 0x20.
    unsafe = "".join(char for char in by_byte if char < " " or char == "\x7f")
    try:
        return unsafe + raw.decode(word["charset"].partition("*")[0] or "ascii", "replace")
    except (LookupError, ValueError):
        return unsafe + by_byte
