"""Whatever claims or sends is called once: only the log says whether it ran (D9).

Read from the source, for nothing of ours is patched; that Ray keeps to it is seen on the running
cluster, in `tests/faults/test_nothing_is_lost.py`.
"""

import ast

from tests.house.repository import ROOT

SOURCES = sorted((ROOT / "deployments").glob("*.py"))


def keywords(call):
    return {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}


def calls_of(name):
    return [
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
    ]


def test_d9_every_actor_is_started_without_repeats_of_its_calls():
    made = [c for c in calls_of("remote") if ast.unparse(c.func) == "ray.remote"]
    options = [c for c in calls_of("options") if "ray.remote" in ast.unparse(c.func)]

    assert len(made) == len(options) >= 1
    for call in options:
        given = keywords(call)
        assert given["max_task_retries"] == 0
        assert "retry_exceptions" not in given


def test_d9_nothing_else_asks_ray_for_repeats():
    wanted = {"max_task_retries", "max_retries", "retry_exceptions", "request_retries"}
    found = [
        f"{path.name}: {node.arg}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg in wanted
    ]

    assert found == ["handles.py: max_task_retries"]
