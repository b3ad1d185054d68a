import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import Invalid
from cdp.http.multipart import FormWithFile
from cdp.http.problems import Malformed

KIND = "multipart/form-data; boundary=cut"
FILE = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
END = b"\r\n--cut--\r\n"


def field(name: str, value: bytes) -> bytes:
    head = f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + value + b"\r\n"


def read(body: bytes, *, kind: str = KIND, size: int = 7):
    async def pieces():
        for begin in range(0, len(body), size):
            yield body[begin : begin + size]

    async def work():
        form = FormWithFile(kind, pieces())
        fields = dict(await form.up_to_the_file())
        content = b"".join([piece async for piece in form.content()])
        return fields, form.file_name, content

    return asyncio.run(work())


@given(
    content=st.binary(max_size=300).filter(lambda b: b"\r\n--cut" not in b),
    size=st.integers(1, 400),
)
def test_fields_and_file_are_the_same_however_the_bytes_come(content, size):
    body = field("campaign", b"spring") + field("strict", b"true") + FILE + content + END

    assert read(body, size=size) == (
        {"campaign": "spring", "strict": "true"}, "a.csv", content,
    )  # fmt: skip


def test_names_are_utf_8():
    head = FILE.replace(b"a.csv", "übersicht.csv".encode())
    body = field("größe", b"1") + head + b"email" + END

    assert read(body) == ({"größe": "1"}, "übersicht.csv", b"email")


def test_the_file_may_be_all_there_is():
    assert read(FILE + b"email" + END) == ({}, "a.csv", b"email")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (field("campaign", b"spring") + END[2:], "file", "missing"),
        (FILE + b"x\r\n" + field("late", b"1") + END[2:], "file", "not_last"),
        (FILE + b"x\r\n" + FILE + b"y" + END, "file", "not_last"),
        (field("a", b"1") + field("a", b"2") + FILE + END, "a", "twice"),
        (field("a", b"x" * 5_000) + FILE + END, "a", "too_long"),
        (field("a", b"\xff") + FILE + END, "a", "encoding"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(body, pointer, code):
    with pytest.raises(Invalid) as told:
        read(body)

    assert [(e.pointer, e.code) for e in told.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"--other\r\n\r\n", FILE + b"cut off", b"--cut\r\nBad\x00Header: 1"]
)
def test_what_is_no_form_is_malformed(body):
    with pytest.raises((Malformed, Invalid)):
        read(body)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", f"{KIND}{'x' * 80}"]
)
def test_a_boundary_is_asked_for(kind):
    with pytest.raises(Malformed):
        read(FILE + END, kind=kind)


def test_a_form_with_more_fields_than_anybody_needs_is_refused():
    with pytest.raises(Invalid):
        read(b"".join(field(f"f{n}", b"1") for n in range(60)) + FILE + END)
