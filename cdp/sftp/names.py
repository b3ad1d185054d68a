"""Paths and names as clients of SFTP write them, made plain. Nothing here is a path of our disk.

Every account sees four folders and nothing else: no path leads anywhere but to one of them.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from cdp.domain.ids import text_of
from cdp.domain.request_file import NAME_MAX

PATH_BYTES_MAX: Final = 4_096
UNFINISHED: Final = (".part", ".filepart", ".tmp")
"""A name that ends so is for an upload under way: it counts once it is renamed."""


class BadName(ValueError):
    """Nothing can be called so; the message says why."""


class Folder(StrEnum):
    """What an account sees at its root."""

    INBOX = "inbox"
    PROCESSED = "processed"
    REJECTED = "rejected"
    RESULTS = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a path leads: the root, a folder, or a file in one."""

    folder: Folder | None = None
    name: str | None = None


def parts_of(path: bytes) -> list[str]:
    """The parts of a path from the root; the root's parent is the root.

    Raises:
        BadName: it is no text, or holds what no name may.
    """
    if len(path) > PATH_BYTES_MAX:
        raise BadName("The path is too long.")
    try:
        text = unicodedata.normalize("NFC", path.decode())
    except UnicodeDecodeError:
        raise BadName("A path is UTF-8.") from None
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            if not part.isprintable():
                raise BadName("A name holds no control characters.")
            parts.append(part)
    return parts


def place_of(path: bytes) -> Place | None:
    """Where a path leads; None where there is nothing and never will be.

    Raises:
        BadName: nothing can be called so.
    """
    parts = parts_of(path)
    if not parts:
        return Place()
    if len(parts) > 2 or parts[0] not in set(Folder):
        return None
    folder = Folder(parts[0])
    return Place(folder=folder, name=parts[1] if len(parts) == 2 else None)


def checked_upload_name(name: str) -> str:
    """The name, if an upload may have it.

    Raises:
        BadName: none may.
    """
    if len(name) > NAME_MAX:
        raise BadName(f"A name has at most {NAME_MAX} characters.")
    if "\\" in name or name != name.strip():
        raise BadName("A name holds no backslash, and begins and ends with no space.")
    if not finished_name(name):
        raise BadName("A name is more than the ending of an upload under way.")
    return name


def is_unfinished(name: str) -> bool:
    """Whether the name says that more is to come."""
    return name.lower().endswith(UNFINISHED)


def finished_name(name: str) -> str:
    """The name without the ending that says that more is to come."""
    for ending in UNFINISHED:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


class Named(Protocol):
    """What has a name that others may have too, and an id that none has."""

    @property
    def id(self) -> bytes:
        """Its own."""

    @property
    def name(self) -> str:
        """For people."""


N = TypeVar("N", bound=Named)


def each_named(newest_first: Iterable[N]) -> Iterator[tuple[str, N]]:
    """Each under a name of its own: the newest of a name has it, older ones have their id too."""
    taken: set[str] = set()
    for each in newest_first:
        name = each.name if each.name not in taken else f"{each.name}.{text_of(each.id)}"
        taken.add(name)
        yield name, each
