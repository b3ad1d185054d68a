"""Reads the only file in a zip archive (APPNOTE.TXT 6.3.10), found by its central directory.

What stands in a directory, or what macOS adds (`__MACOSX/`, `.DS_Store`), is not counted and never
decompressed. zip64 is read; passwords, several parts and methods other than deflate are not.
"""

import struct
import zlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from cdp.file_formats.compression import (
    DEFLATE,
    ByteSource,
    Inflater,
    bomb,
    closing,
    grows_too_much,
    read_exactly,
    too_large,
)
from cdp.file_formats.faults import FileRefused

ZIP_MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
DIRECTORY_BYTES_MAX: Final = 64 * 1024
"""Of one file, and what macOS adds, it is some hundred bytes long."""

_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_COMMENT_BYTES_MAX: Final = 0xFFFF
_NONE_16: Final = 0xFFFF
_NONE_32: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_WORKBOOK: Final = b"xl/workbook.xml"
_STORED: Final = 0
_DEFLATED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header_at: int

    @property
    def is_counted(self) -> bool:
        last = self.name.rpartition(b"/")[2]
        return bool(last) and last != b".DS_Store" and not self.name.startswith(b"__MACOSX/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directory:
    at: int
    size: int
    entries: int


async def unzipped(source: ByteSource, *, bytes_max: int) -> AsyncGenerator[bytes, None]:
    """The one file that this archive holds.

    Raises:
        FileRefused: it holds several or none, is damaged, or a bomb, which it may say itself
            before anything was decompressed.
    """
    member = _only_one(await _members(source))
    if member.flags & _ENCRYPTED:
        raise FileRefused("archive_unsupported", "The zip file is encrypted.")
    if member.method not in (_STORED, _DEFLATED):
        detail = "The zip file must be packed by deflate, or not at all."
        raise FileRefused("archive_unsupported", detail)
    if grows_too_much(member.packed, member.size):
        raise bomb()
    if member.size > bytes_max:
        raise too_large(bytes_max)
    begin = await _data_of(source, member)
    crc = given = 0
    inflater = Inflater(DEFLATE) if member.method == _DEFLATED else None
    chunks = _part(source, begin, member.packed)
    async with closing(chunks):
        async for chunk in chunks:
            for piece in (chunk,) if inflater is None else inflater.feed(chunk):
                given += len(piece)
                if given > member.size:
                    raise _damaged("it holds more than it says")
                crc = zlib.crc32(piece, crc)
                yield piece
    if inflater is not None:
        inflater.end()
    if given != member.size or crc != member.crc:
        raise _damaged("its content is not what its sums say")


def _only_one(members: list[_Member]) -> _Member:
    counted = [member for member in members if member.is_counted]
    if any(member.name == _WORKBOOK for member in counted):
        detail = "This is a spreadsheet (XLSX), which is not read. Save it as CSV in UTF-8."
        raise FileRefused("archive_unsupported", detail)
    if len(counted) != 1:
        detail = f"The zip file holds {len(counted)} files, and must hold one."
        raise FileRefused("archive_members", detail)
    return counted[0]


async def _part(source: ByteSource, begin: int, length: int) -> AsyncGenerator[bytes, None]:
    left = length
    if not left:
        return
    if begin + length > source.size:
        raise _damaged("it breaks off")
    chunks = source.read(begin)
    async with closing(chunks):
        async for chunk in chunks:
            yield chunk[:left]
            left -= min(left, len(chunk))
            if not left:
                return
    raise _damaged("it breaks off")


async def _members(source: ByteSource) -> list[_Member]:
    directory = await _directory(source)
    if directory.size > DIRECTORY_BYTES_MAX:
        raise FileRefused("archive_members", "The zip file holds many files, and must hold one.")
    raw = await read_exactly(source, directory.at, directory.size)
    members, at = [], 0
    while at < len(raw):
        member, at = _member(raw, at)
        members.append(member)
    if len(raw) != directory.size or len(members) != directory.entries:
        raise _damaged("its directory is not whole")
    return members


async def _directory(source: ByteSource) -> _Directory:
    tail_at = max(0, source.size - _END.size - _COMMENT_BYTES_MAX - _LOCATOR_64.size)
    tail = await read_exactly(source, tail_at, source.size - tail_at)
    at = _end_in(tail)
    _, disk, directory_disk, here, entries, size, begin, _ = _END.unpack_from(tail, at)
    if _NONE_16 in (disk, directory_disk, here, entries) or _NONE_32 in (size, begin):
        return await _directory_64(source, tail, at)
    if disk or directory_disk or here != entries:
        raise _in_parts()
    if begin + size > tail_at + at:
        raise _damaged("its directory is not where it says")
    return _Directory(at=begin, size=size, entries=entries)


def _end_in(tail: bytes) -> int:
    """Where the end record is: the last one whose comment goes up to the end of the file."""
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if at + _END.size <= len(tail):
            comment = _END.unpack_from(tail, at)[-1]
            if at + _END.size + comment == len(tail):
                return at
    raise _damaged("it has no directory, or something is behind it")


async def _directory_64(source: ByteSource, tail: bytes, end_at: int) -> _Directory:
    locator_at = end_at - _LOCATOR_64.size
    if locator_at < 0 or not tail.startswith(b"PK\x06\x07", locator_at):
        raise _damaged("its directory is not where it says")
    _, disk, record_at, disks = _LOCATOR_64.unpack_from(tail, locator_at)
    if disk or disks > 1:
        raise _in_parts()
    raw = await read_exactly(source, record_at, _END_64.size)
    if len(raw) < _END_64.size or not raw.startswith(b"PK\x06\x06"):
        raise _damaged("its directory is not where it says")
    _, _, _, _, disk, directory_disk, here, entries, size, begin = _END_64.unpack(raw)
    if disk or directory_disk or here != entries:
        raise _in_parts()
    if begin + size > record_at:
        raise _damaged("its directory is not where it says")
    return _Directory(at=begin, size=size, entries=entries)


def _member(raw: bytes, at: int) -> tuple[_Member, int]:
    """The entry of the directory that begins there, and where the next one does."""
    if at + _ENTRY.size > len(raw) or not raw.startswith(b"PK\x01\x02", at):
        raise _damaged("its directory is not whole")
    fields = _ENTRY.unpack_from(raw, at)
    flags, method = fields[3], fields[4]
    crc, packed, size = fields[7:10]
    name_size, extra_size, comment_size, disk = fields[10:14]
    header_at = fields[16]
    name_at = at + _ENTRY.size
    extra_at = name_at + name_size
    end = extra_at + extra_size + comment_size
    if end > len(raw):
        raise _damaged("its directory is not whole")
    wide = _wide_numbers(raw[extra_at : extra_at + extra_size])
    size = wide.pop(0) if size == _NONE_32 and wide else size
    packed = wide.pop(0) if packed == _NONE_32 and wide else packed
    header_at = wide.pop(0) if header_at == _NONE_32 and wide else header_at
    if disk not in (0, _NONE_16):
        raise _in_parts()
    member = _Member(
        name=raw[name_at:extra_at],
        flags=flags,
        method=method,
        crc=crc,
        packed=packed,
        size=size,
        header_at=header_at,
    )
    return member, end


def _wide_numbers(extra: bytes) -> list[int]:
    """The 64-bit numbers of those that had no room, in the order of their fields."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            raw = extra[at + 4 : at + 4 + size]
            return [number for (number,) in struct.iter_unpack("<Q", raw[: len(raw) // 8 * 8])]
        at += 4 + size
    return []


async def _data_of(source: ByteSource, member: _Member) -> int:
    """Where the member's data begin."""
    size = _LOCAL.size + len(member.name)
    raw = await read_exactly(source, member.header_at, size)
    if len(raw) < size or not raw.startswith(b"PK\x03\x04"):
        raise _damaged("its file is not where its directory says")
    fields = _LOCAL.unpack_from(raw)
    flags, method, name_size, extra_size = fields[2], fields[3], fields[9], fields[10]
    # What two readers could take for different files is refused.
    is_same = method == member.method and not (flags ^ member.flags) & _ENCRYPTED
    if not is_same or name_size != len(member.name) or raw[_LOCAL.size :] != member.name:
        raise _damaged("its directory says something else than its file")
    return member.header_at + size + int(extra_size)


def _damaged(why: str) -> FileRefused:
    return FileRefused("archive_invalid", f"The zip file is damaged: {why}.")


def _in_parts() -> FileRefused:
    return FileRefused("archive_unsupported", "The zip file is in several parts.")
