"""What clients write as paths and names."""

import posixpath
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.sftp.names import (
    BadName,
    Folder,
    Place,
    checked_upload_name,
    each_named,
    finished_name,
    is_unfinished,
    parts_of,
    place_of,
)


@given(st.binary(max_size=200))
def test_a_path_leads_into_the_four_folders_or_nowhere(path: bytes):
    try:
        place = place_of(path)
    except BadName:
        return
    if place is not None and place.name is not None:
        assert place.folder is not None
        assert "/" not in place.name
        assert "\0" not in place.name
        assert place.name not in ("", ".", "..")


@given(st.lists(st.sampled_from(["..", ".", "", "inbox", "a", "results"]), max_size=12))
def test_a_path_goes_as_it_would_on_a_disk_whose_root_it_can_not_leave(parts: list[str]):
    path = "/" + "/".join(parts)

    assert "/" + "/".join(parts_of(path.encode())) == posixpath.normpath(path).replace("//", "/")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (b"", Place()),
        (b"/", Place()),
        (b"inbox", Place(folder=Folder.INBOX)),
        (b"/inbox/a.csv", Place(folder=Folder.INBOX, name="a.csv")),
        (b"/results/../inbox/./a.csv", Place(folder=Folder.INBOX, name="a.csv")),
        ("/inbox/gro\u0308\u00dfe".encode(), Place(folder=Folder.INBOX, name="gr\u00f6\u00dfe")),
        (b"/INBOX/a.csv", None),
        (b"/inbox/a/b", None),
        (b"/etc/passwd", None),
    ],
)
def test_places(path, place):
    assert place_of(path) == place


@pytest.mark.parametrize("path", [b"/inbox/a\0", b"/inbox/\xff", b"/inbox/\r\n", b"a" * 5000])
def test_what_nothing_can_be_called(path):
    with pytest.raises(BadName):
        place_of(path)


@pytest.mark.parametrize("name", ["a\\b", " a", "a ", ".part", ".TMP", "x" * 201])
def test_what_no_upload_can_be_called(name):
    with pytest.raises(BadName):
        checked_upload_name(name)


@pytest.mark.parametrize(
    ("name", "finished"),
    [
        ("a.csv.part", "a.csv"),
        ("a.csv.FilePart", "a.csv"),
        ("a.tmp", "a"),
        ("a.csv", None),
        ("part", None),
    ],
)
def test_a_name_says_that_more_is_to_come(name, finished):
    assert is_unfinished(name) == (finished is not None)
    assert finished_name(name) == (finished or name)


@dataclass
class File:
    id: bytes
    name: str


@given(st.lists(st.sampled_from(["a", "b", "c.csv"]), max_size=30))
def test_each_has_a_name_of_its_own_and_the_newest_its_plain_one(names: list[str]):
    files = [File(id=n.to_bytes(16, "big"), name=name) for n, name in enumerate(names)]

    shown = [name for name, _ in each_named(files)]

    assert len(set(shown)) == len(files)
    for name in set(names):
        assert shown[names.index(name)] == name
