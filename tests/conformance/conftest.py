"""What the conformance tests share."""

import pytest

from tests.conformance.object_store_rigs import moto_server


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory):
    """moto's server in a process of its own, for S3 and SQS."""
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as url:
        yield url
