"""What all tests share: no setting of the developer's shell, and Hypothesis without a clock."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.platform"]

# A developer's own CDP_* variables would send the tests to other parts than their own.
for name in [name for name in os.environ if name.startswith("CDP_")]:
    del os.environ[name]

# Ray reads its switches when it is imported, and which test imports it first is chance.
os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
}

# On a shared machine one slow example is no finding.
settings.register_profile("cdp", deadline=None, print_blob=True)
settings.load_profile("cdp")

TESTS = Path(__file__).parent
ON_THE_PLATFORM = ("cluster", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests stay in one process, where several share the run (pytest-xdist).

    There is one platform: its tests are one group, the last of all. Others go file by file.
    """
    for item in items:
        place = item.path.relative_to(TESTS)
        group = "platform" if place.parts[0] in ON_THE_PLATFORM else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
