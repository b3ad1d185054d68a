"""Both object stores by the one suite, and what each does besides."""

import uuid

import pytest

from cdp.testing.object_store_conformance import ObjectStoreConformance
from tests.conformance.object_store_rigs import local_rig, moto_server, s3_rig


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as url:
        yield url


class TestLocalObjectStore(ObjectStoreConformance):
    @pytest.fixture
    async def rig(self, tmp_path):
        async with local_rig(tmp_path / "objects") as rig:
            yield rig


class TestS3ObjectStore(ObjectStoreConformance):
    @pytest.fixture
    async def rig(self, moto):
        async with s3_rig(moto, f"bucket-{uuid.uuid4()}") as rig:
            yield rig
