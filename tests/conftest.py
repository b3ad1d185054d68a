"""What all tests share: no setting of the developer's shell, and Hypothesis without a clock."""

import os
from collections import Counter

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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

ON_THE_PLATFORM = ("tests/cluster/", "tests/faults/")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Which tests stay in one process, where several share the run (pytest-xdist).

    There is one platform: its tests stay together, the last of all. Others go file by file.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "platform" if file.startswith(ON_THE_PLATFORM) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Not by xdist's own groups, which go unseen with pytest 9.2."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse two tests with one id: xdist would run one, and say nothing of the other."""
    for item in items:
        # With pytest 9.2 all operations of schemathesis have one id, without their name.
        if item.parent is not None and not item.nodeid.endswith(item.name):
            item._id = item.parent.id.child(item.name)
    ids = Counter(item.nodeid for item in items)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise pytest.UsageError(f"Tests with the same id: {twice[:5]}")
