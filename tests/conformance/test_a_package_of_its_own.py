"""The how-to "Add a provider in one file", as it stands: built, installed, found and tested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdp.providers.registry import UnknownProvider, load, names, unusable
from cdp.testing.http_provider_conformance import HttpProviderConformance
from tests.house.repository import ROOT
from tests.packages import install_acme, on_the_path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_acme(tmp_path_factory.mktemp("package"))


def run(site: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """A Python that has the package installed."""
    environment = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,
    )


def test_it_passes_the_suite_that_every_provider_passes(site: Path):
    source = site.parent / "acme"

    done = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", cwd=source)

    assert done.returncode == 0, done.stdout
    suite = [name for name in vars(HttpProviderConformance) if name.startswith("test_")]
    assert f"{len(suite)} passed" in done.stdout, done.stdout


def test_it_is_a_kind_as_any_other_while_it_is_installed(site: Path):
    with on_the_path(site):
        found, listed, broken = load("sms.acme"), names(), unusable()

    assert found.__module__ == "acme_sms"
    assert listed[-1] == "sms.acme"
    assert broken == []
    assert "sms.acme" not in names()
    with pytest.raises(UnknownProvider, match=r"sms\.acme"):
        load("sms.acme")


def test_the_operator_sees_it(site: Path):
    done = run(site, "-m", "cdp.cli.main", "provider", "kinds")

    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()][-1] == ["sms.acme", "token", "token"]
