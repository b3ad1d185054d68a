"""The repository as its tests see it."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SHOWN_THOUGH_HIDDEN: Final = frozenset({".ci", ".gitignore", ".pre-commit-config.yaml"})
GENERATED_SUFFIXES: Final = (".lock", ".pyc")


@cache
def files() -> tuple[Path, ...]:
    """Every file that a reader of the repository would see, as a path below its root."""
    return tuple(sorted(_walk(ROOT)))


def _walk(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        hidden = entry.name.startswith(".") and entry.name not in SHOWN_THOUGH_HIDDEN
        if hidden or entry.name == "__pycache__" or entry.name.endswith(".egg-info"):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path).relative_to(ROOT)


def files_in(*folders: str, suffix: str) -> list[Path]:
    """Those below one of these folders with this suffix."""
    return [p for p in files() if p.parts[0] in folders and p.suffix == suffix]


def read(path: Path | str) -> str:
    """A file's text."""
    return (ROOT / path).read_text(encoding="utf-8")


def pages() -> list[Path]:
    """Every Markdown page."""
    return [path for path in files() if path.suffix == ".md"]


def make_targets(makefile: str) -> set[str]:
    """The targets that a Makefile says are no files."""
    return {
        target
        for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
        for target in line.split()
    }
