"""gzip and zip hold one file, are whole, and grow no bomb."""

import gzip
import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.file_formats.compression import RATIO_FREE_BYTES
from cdp.file_formats.faults import FileRefused
from cdp.file_formats.reading import plain_bytes
from tests.unit.file_formats.sources import InMemory

MIB = 1024 * 1024
WHY = ("invalid", "unsupported", "members", "ratio")
TEXT = b"email,name\r\n" + b"".join(
    b"p%d@example.org,Ada %d\r\n" % (n, n * n) for n in range(9_000)
)


def zipped(*members, method=zipfile.ZIP_DEFLATED, comment=b""):
    """A zip of these members, each a name and its bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, raw in members:
            archive.writestr(name, raw)
        archive.comment = comment
    return file.getvalue()


def streamed(raw):
    """A zip as it is written into a pipe: sizes and sums stand behind the data."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.raw = b""

        def writable(self):
            return True

        def write(self, data):
            self.raw += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", raw)
    return pipe.raw


def zip64(raw):
    """A zip whose member was written as if it could be longer than 4 GiB."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w", force_zip64=True) as member,
    ):
        member.write(raw)
    return file.getvalue()


def with_zip64_directory(packed):
    """The same zip with a directory that is found by zip64's records alone."""
    end = packed.rindex(b"PK\x05\x06")
    entries, size, begin = struct.unpack("<HLL", packed[end + 10 : end + 20])
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, begin
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    none = struct.pack("<4s4H2LH", b"PK\x05\x06", *[0xFFFF] * 4, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return packed[:end] + record + locator + none


def changed(packed, signature, offset, value):
    """The same bytes, with some changed behind a signature."""
    at = packed.index(signature) + offset
    return packed[:at] + value + packed[at + len(value) :]


async def plain(packed, *, offset=0, bytes_max=64 * MIB, chunk=MIB):
    source = InMemory(packed, chunk=chunk)
    try:
        taken = plain_bytes(source, bytes_max=bytes_max, offset=offset)
        return b"".join([piece async for piece in taken])
    finally:
        assert source.open == 0


async def refused(packed, **options):
    with pytest.raises(FileRefused) as caught:
        await plain(packed, **options)
    return caught.value.code


GOOD = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "zip": zipped(("a.csv", TEXT)),
    "zip, stored": zipped(("a.csv", TEXT), method=zipfile.ZIP_STORED),
    "zip, with a comment": zipped(("a.csv", TEXT), comment=b"PK\x05\x06 or not" * 100),
    "zip, streamed": streamed(TEXT),
    "zip64": zip64(TEXT),
    "zip64, directory": with_zip64_directory(zipped(("a.csv", TEXT))),
    "zip, by a Mac": zipped(("a.csv", TEXT), ("__MACOSX/._a.csv", b"x"), (".DS_Store", b"y")),
    "zip, in a folder": zipped(("out/", b""), ("out/a.csv", TEXT)),
}


DIRECTORY_64 = GOOD["zip64, directory"]


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.parametrize("chunk", [MIB, 1_000])
async def test_a_file_is_read_whatever_it_is_packed_in(form, chunk):
    assert await plain(GOOD[form], chunk=chunk) == TEXT


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.parametrize("offset", [1, 70_000, len(TEXT) - 1, len(TEXT)])
async def test_a_file_is_read_from_an_offset_on(form, offset):
    assert await plain(GOOD[form], offset=offset) == TEXT[offset:]


@pytest.mark.parametrize("form", [form for form in GOOD if form != "plain"])
async def test_what_breaks_off_is_refused(form):
    packed = GOOD[form]

    for length in (len(packed) - 1, len(packed) // 2, 30, 5):
        assert await refused(packed[:length]) == "archive_invalid"


@given(
    at=st.integers(4, len(GOOD["zip"]) - 1),
    bit=st.integers(0, 7),
    form=st.sampled_from(["gzip", "zip", "zip64"]),
)
async def test_what_was_damaged_is_refused_or_says_the_same(at, bit, form):
    packed = bytearray(GOOD[form])
    at = at % len(packed)
    packed[at] ^= 1 << bit
    if at < 4:
        return

    try:
        outcome = await plain(bytes(packed))
    except FileRefused as refusal:
        outcome = refusal.code

    assert outcome in (TEXT, "too_large", *(f"archive_{why}" for why in WHY))


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (GOOD["gzip"] + b"x", "archive_members"),
        (GOOD["gzip"] + GOOD["gzip"], "archive_members"),
        (zipped(), "archive_members"),
        (zipped(("out/", b"")), "archive_members"),
        (zipped(("a.csv", TEXT), ("b.csv", TEXT)), "archive_members"),
        (zipped(*[(f"{n}.csv", b"") for n in range(2_000)]), "archive_members"),
        (zipped(("a.csv", TEXT), method=zipfile.ZIP_BZIP2), "archive_unsupported"),
        (zipped(("a.csv", TEXT), method=zipfile.ZIP_LZMA), "archive_unsupported"),
        (changed(GOOD["zip"], b"PK\x01\x02", 8, b"\x01\x00"), "archive_unsupported"),
        (changed(GOOD["zip"], b"PK\x01\x02", 34, b"\x01\x00"), "archive_unsupported"),
        (changed(GOOD["zip"], b"PK\x05\x06", 4, b"\x01\x00"), "archive_unsupported"),
        (changed(GOOD["zip"], b"PK\x05\x06", 8, b"\x02\x00"), "archive_unsupported"),
        (changed(GOOD["zip"], b"PK\x05\x06", 8, b"\x02\x00\x02\x00"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x03\x04", 26, b"b"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x03\x04", 8, b"\x00"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x01\x02", 16, b"\x00\x00\x00\x00"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x05\x06", 12, b"\xff\x00"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x05\x06", 12, b"\x20\x00"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x05\x06", 16, b"\xff\xff\xff\xff"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x01\x02", 28, b"\xff\xff"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x01\x02", 42, b"\x01"), "archive_invalid"),
        (changed(GOOD["zip"], b"PK\x01\x02", 20, b"\xff\xff\xff\x0f"), "archive_invalid"),
        (changed(DIRECTORY_64, b"PK\x06\x07", 4, b"\x01"), "archive_unsupported"),
        (changed(DIRECTORY_64, b"PK\x06\x07", 16, b"\x02"), "archive_unsupported"),
        (changed(DIRECTORY_64, b"PK\x06\x07", 8, b"\x00"), "archive_invalid"),
        (changed(DIRECTORY_64, b"PK\x06\x06", 16, b"\x01"), "archive_unsupported"),
        (changed(DIRECTORY_64, b"PK\x06\x06", 24, b"\x02"), "archive_unsupported"),
        (changed(DIRECTORY_64, b"PK\x06\x06", 48, b"\xff\xff\xff\xff"), "archive_invalid"),
        (GOOD["zip"] + b"x", "archive_invalid"),
        (b"PK\x03\x04", "archive_invalid"),
        (b"\x1f\x8b", "archive_invalid"),
    ],
)
async def test_what_is_not_one_whole_file_is_refused(packed, code):
    assert await refused(packed) == code


async def test_a_member_whose_numbers_are_in_its_zip64_field_is_read():
    packed = zipped(("a.csv", TEXT))
    entry, end = packed.index(b"PK\x01\x02"), packed.index(b"PK\x05\x06")
    packed_size, size = struct.unpack_from("<LL", packed, entry + 20)
    extra = struct.pack("<HHHHQQQ", 0x5455, 0, 1, 24, size, packed_size, 0)
    wide = bytearray(packed[entry:end] + extra)
    struct.pack_into("<LL", wide, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", wide, 30, len(extra))
    struct.pack_into("<L", wide, 42, 0xFFFFFFFF)
    tail = bytearray(packed[end:])
    struct.pack_into("<L", tail, 12, len(wide))

    assert await plain(packed[:entry] + bytes(wide) + bytes(tail)) == TEXT


async def test_an_empty_member_is_an_empty_file():
    assert await plain(zipped(("a.csv", b""), method=zipfile.ZIP_STORED)) == b""


async def test_a_spreadsheet_is_told_what_to_do():
    packed = zipped(("[Content_Types].xml", b"x"), ("xl/workbook.xml", b"x"))

    with pytest.raises(FileRefused, match=r"Save it as CSV"):
        await plain(packed)


async def test_a_gzip_bomb_is_refused_early():
    packed = gzip.compress(bytes(300 * MIB), 1)
    source = InMemory(packed, chunk=10_000)
    seen = []

    async def read():
        async for piece in plain_bytes(source, bytes_max=10**10):
            seen.append(len(piece))

    with pytest.raises(FileRefused) as caught:
        await read()

    assert caught.value.code == "archive_ratio"
    assert sum(seen) <= 10_000 * 100
    assert source.taken <= 30_000


async def test_a_zip_bomb_is_refused_before_anything_of_it_is_decompressed():
    assert await refused(zipped(("a.csv", bytes(50 * MIB)))) == "archive_ratio"


async def test_a_zip_bomb_that_lies_about_its_size_is_refused():
    packed = zipped(("a.csv", bytes(50 * MIB)))
    lying = changed(packed, b"PK\x01\x02", 24, struct.pack("<L", 1_000))

    assert await refused(lying) == "archive_invalid"


async def test_a_zip_whose_directory_lies_about_the_packed_size_is_refused():
    packed = zipped(("a.csv", bytes(50 * MIB)))
    lying = changed(packed, b"PK\x01\x02", 20, struct.pack("<L", MIB))

    assert await refused(lying) in ("archive_ratio", "archive_invalid")


async def test_a_small_file_may_be_as_repetitive_as_it_likes():
    small = bytes(RATIO_FREE_BYTES)

    assert await plain(gzip.compress(small)) == small
    assert await plain(zipped(("a.csv", small))) == small


@pytest.mark.parametrize("form", GOOD)
async def test_a_file_may_be_just_as_large_as_it_may(form):
    assert len(await plain(GOOD[form], bytes_max=len(TEXT))) == len(TEXT)
    assert await refused(GOOD[form], bytes_max=len(TEXT) - 1) == "too_large"


async def test_of_a_gzip_the_sums_are_checked():
    packed = bytearray(gzip.compress(TEXT))
    packed[-5] ^= 1  # its CRC

    assert zlib.crc32(TEXT)
    assert await refused(bytes(packed)) == "archive_invalid"
