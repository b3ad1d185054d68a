"""The lock files: complete, hashed, and without the name of any host."""

import re
import tomllib

import pytest

from tests.house.repository import read

LOCKS = {
    "requirements.lock": None,
    "requirements-dev.lock": "dev",
    "requirements-bench.lock": "bench",
}
URL = re.compile(r"[a-z+]+://\S+|^\s*--?(?:i|index-url|extra-index-url|find-links)\b.*", re.M)
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.M)


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def required(group):
    """The names that pyproject.toml asks for."""
    project = tomllib.loads(read("pyproject.toml"))
    wanted = list(project["project"]["dependencies"])
    wanted += project["dependency-groups"][group] if group else []
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in wanted)
    return {canonical(name[0]) for name in names if name}


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_a_host(lock):
    assert URL.findall(read(lock)) == []


@pytest.mark.parametrize("line", ["--index-url x", "a @ https://x.y/z", "    # git+ssh://x"])
def test_a_url_would_be_found(line):
    assert URL.findall(f"a==1\n{line}\n") != []


@pytest.mark.parametrize(("lock", "group"), LOCKS.items())
def test_all_that_is_required_is_locked(lock, group):
    locked = {canonical(name) for name, _ in PINNED.findall(read(lock))}

    assert required(group) - locked == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_a_hash(lock):
    text = read(lock)
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)[1:]

    assert len(blocks) == len(PINNED.findall(text)) > 50
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements-bench.lock"])
def test_the_platform_has_the_same_versions_in_every_lock(lock):
    alone = dict(PINNED.findall(read("requirements.lock")))
    locked = dict(PINNED.findall(read(lock)))

    assert {name: locked.get(name) for name in alone} == alone
