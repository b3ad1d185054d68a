"""Packages of others that bring providers: that of the how-to, and some that can't be used."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "how-to" / "add-a-provider.md"
_BLOCK: Final = re.compile(r"^```(python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES: Final = ("acme_sms.py", "pyproject.toml", "test_acme_sms.py")


def write_acme(folder: Path) -> Path:
    """The files of the how-to, as they stand there."""
    folder.mkdir()
    page = PAGE.read_text("utf-8")
    blocks = _BLOCK.findall(page)
    assert [language for language, _ in blocks] == ["python", "toml", "python"]
    for name, (_, text) in zip(NAMES, blocks, strict=True):
        assert f"`{name}`" in page
        (folder / name).write_text(text, "utf-8")
    return folder


def install_acme(root: Path) -> Path:
    """The how-to's package, built and installed by pip into a folder of its own."""
    site = root / "site"
    source = write_acme(root / "acme")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Without what would be fetched: hatchling and the platform itself are here.
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


def install(site: Path, package: str, points: Mapping[str, str], module: str = "") -> Path:
    """A package of one module, `package`, with these entry points, as an installer lays it out."""
    site.mkdir(exist_ok=True)
    (site / f"{package}.py").write_text(module, "utf-8")
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[cdp.providers]\n{lines}")
    return site


@contextmanager
def on_the_path(*sites: Path) -> Iterator[None]:
    """What is installed there is found while this lasts."""
    before, modules = list(sys.path), set(sys.modules)
    sys.path[:0] = map(str, sites)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(tuple(map(str, sites))):
                del sys.modules[name]
