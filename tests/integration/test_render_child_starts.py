"""A render child that ends before it begins is no reason to refuse a template."""

import asyncio

import psutil

from cdp.ports.renderer import Rendered, RenderItem, TemplateSource
from cdp.rendering.sandbox import SandboxedRenderer
from tests.waiting import eventually

GREETING = TemplateSource(key="greeting", parts={"subject": "Hi {{ name }}"})


async def test_a_child_that_ends_before_it_begins_is_followed_by_another():
    known = set(psutil.Process().children())
    renderer = SandboxedRenderer(children=1)
    killed = []

    def end_the_first():
        for child in set(psutil.Process().children()) - known:
            child.kill()
            killed.append(child.pid)
        return bool(killed)

    killing = asyncio.create_task(eventually(end_the_first, within_s=10))
    [outcome] = await renderer.render([RenderItem(source=GREETING, context={"name": "Ada"})])
    await killing

    assert outcome == Rendered(parts={"subject": "Hi Ada"})
    assert len(killed) == 1
    assert renderer.pids
    assert killed[0] not in renderer.pids
    await renderer.close()
