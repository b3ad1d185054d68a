"""What all tests share: no setting of the developer's shell, and Hypothesis without a clock."""

import os

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
