"""Which variables a template certainly needs: without one of them no recipient gets anything.

Found once, when a version is saved, so that a request that lacks one is refused at once and not
when it is rendered. Only what is used whatever the data are counts: what stands in a condition or a
loop, or has a default, may never be asked for. The template is parsed here, never compiled or run;
parsing evaluates nothing (rule T2).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from jinja2 import TemplateSyntaxError, nodes

from cdp.rendering.environment import TemplateEnvironment
from cdp.rendering.language import dotted_path

NEEDS_MAX: Final = 200
"""Of one variant; what is beyond is found when it is rendered."""

_GIVEN: Final = frozenset({"recipient", "unsubscribe_url"})
"""Roots that the platform itself fills in."""
_DEFAULTS: Final = frozenset({"d", "default"})
_ARITHMETIC: Final = (nodes.BinExpr, nodes.UnaryExpr)
_LAZY: Final = (nodes.And, nodes.Or)
"""What looks at its second operand only if the first one does not decide."""


def needs_of(parts: Mapping[str, str]) -> tuple[str, ...]:
    """The dotted paths that a template's parts certainly need, such as `order.id`, sorted.

    Args:
        parts: of a template that was found fit.
    """
    found: set[str] = set()
    for source in parts.values():
        try:
            tree = _environment().parse(source)
            found |= _of_tree(tree)
        except (TemplateSyntaxError, RecursionError):
            continue
    return tuple(sorted(found)[:NEEDS_MAX])


@cache
def _environment() -> TemplateEnvironment:
    return TemplateEnvironment(autoescape=False)


def _of_tree(tree: nodes.Template) -> set[str]:
    # A name that the template sets anywhere may be its own wherever it stands.
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    own |= {macro.name for macro in tree.find_all(nodes.Macro)} | _GIVEN
    paths = {path for node in tree.body for path in _of_statement(node)}
    return {path for path in paths if path.partition(".")[0] not in own and _is_plain(path)}


def _is_plain(path: str) -> bool:
    return all(name.isidentifier() for name in path.split("."))


def _of_statement(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Output):
        for child in node.nodes:
            yield from _of_expression(child)
    elif isinstance(node, nodes.For):
        # Its length is counted before it begins.
        yield from _of_expression(node.iter)
    elif isinstance(node, nodes.If):
        yield from _of_condition(node.test)


def _of_condition(test: nodes.Node) -> Iterator[str]:
    """What is missing has no truth; but `is defined` may ask for anything."""
    if isinstance(test, nodes.Not):
        yield from _of_condition(test.node)
    elif dotted_path(test):
        yield from _of_expression(test)


def _of_expression(node: nodes.Node | None) -> Iterator[str]:
    """The paths that evaluating this and using it certainly asks for."""
    path = "" if node is None else dotted_path(node)
    if path:
        yield path
    elif isinstance(node, nodes.Getattr | nodes.Getitem):
        yield from _of_expression(node.node)
    elif isinstance(node, nodes.Filter):
        yield from _of_filter(node)
    elif isinstance(node, nodes.Call):
        yield from _of_call(node)
    elif isinstance(node, nodes.Concat):
        for child in node.nodes:
            yield from _of_expression(child)
    elif isinstance(node, _ARITHMETIC) and not isinstance(node, _LAZY):
        for operand in node.iter_child_nodes():
            yield from _of_expression(operand)


def _of_filter(node: nodes.Filter) -> Iterator[str]:
    if node.name not in _DEFAULTS:
        yield from _of_expression(node.node)
    elif isinstance(node.node, nodes.Getattr | nodes.Getitem):
        # A default is for the last name of a path; what the name is asked from must be there.
        yield from _of_expression(node.node.node)


def _of_call(node: nodes.Call) -> Iterator[str]:
    if isinstance(node.node, nodes.Getattr):
        yield from _of_expression(node.node.node)
    elif isinstance(node.node, nodes.Name) and node.node.name == "range":
        for argument in node.args:
            yield from _of_expression(argument)
