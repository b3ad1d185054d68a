"""Both object stores by the one suite."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.testing.object_store_conformance import (
    KEY,
    ObjectStoreConformance,
    chunked,
    content_of,
    some_bytes,
)
from tests.conformance.object_store_rigs import local_rig, s3_rig

# Functions and not methods of the suite: Hypothesis refuses a test that two classes inherit.
# One store serves all examples: each replaces what the one before it has put.
SHARED_STORE = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIZES = st.lists(st.sampled_from((1, 7, 4096, 65_536, 1_000_000, 1_048_576)), max_size=5)


class TestLocalObjectStore(ObjectStoreConformance):
    @pytest.fixture
    async def rig(self, tmp_path):
        async with local_rig(tmp_path / "objects") as rig:
            yield rig


class TestS3ObjectStore(ObjectStoreConformance):
    @pytest.fixture
    async def rig(self, moto_url):
        async with s3_rig(moto_url, f"bucket-{uuid.uuid4()}") as rig:
            yield rig


@pytest.fixture(params=["folder", "s3"])
async def rig(request, tmp_path, moto_url):
    """Each store in turn."""
    opened = (
        local_rig(tmp_path / "objects")
        if request.param == "folder"
        else s3_rig(moto_url, f"bucket-{uuid.uuid4()}")
    )
    async with opened as rig:
        yield rig


@SHARED_STORE
@given(parts=st.integers(0, 2), more=st.integers(0, 2), sizes=SIZES)
async def test_any_chunks_are_stored_as_what_they_make_together(rig, parts, more, sizes):
    content = some_bytes(parts * rig.part_bytes + more)
    # Small chunks of a large object take too long.
    sizes = [size for size in sizes if size > 1000 or not parts]

    stored = await rig.store.put(KEY, chunked(content, *sizes), size_max=len(content))

    assert stored.size == len(content)
    assert await content_of(rig.store, KEY) == content


@SHARED_STORE
@given(chunks=st.lists(st.binary(max_size=20), max_size=20))
async def test_empty_chunks_are_nothing(rig, chunks):
    async def source():
        for chunk in chunks:
            yield chunk

    await rig.store.put(KEY, source(), size_max=400)

    assert await content_of(rig.store, KEY) == b"".join(chunks)
