"""What a template may say: the allow-list over its syntax tree, asked before it is compiled.

Jinja2's own sandbox guards what a template does when it runs, and fell five times. So nothing is
compiled here that is not on a list: node types, filters, tests, methods and functions. What is on
the list is rewritten where its harm depends on the data: loops are counted, printed values are
checked, and a method can only be called, never passed on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

METHODS: Final = frozenset(
    {
        *("items", "keys", "values", "get"),
        *("upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip"),
        *("split", "startswith", "endswith", "replace"),
        *("cycle", "changed"),
    }
)
"""Methods of dicts, text and loops. No `format`: every way out of the sandbox led through it."""

CALL_MARK: Final = "()"
"""Put before a method's name where it is called, so that data and methods never meet:
`order.items` is the data's, `order.items()` the method."""

COUNTED: Final = "_counted"
SHOWN: Final = "_shown"
KNOWN: Final = "_known"
RANGE: Final = "_range"
"""The filters that only the rewriting may use; their names are refused in a template."""

_TEXT_FILTERS: Final = frozenset(
    {
        *("capitalize", "e", "escape", "forceescape", "lower", "replace", "safe", "string"),
        *("striptags", "title", "trim", "truncate", "upper", "urlencode", "wordcount"),
    }
)
"""Filters that would make the text "None" of null."""

_RESERVED_NAMES: Final = frozenset({"self", "super", "range"})


class NotAllowed(Exception):
    """The template uses something that is not on the list."""

    def __init__(self, complaint: str, *, line: int | None) -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The names that stand in a template: what an error may quote without quoting data."""

    constants: frozenset[str]
    paths: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Last name of a dotted path to the paths that end with it."""

    def full_name(self, name: object) -> str:
        """The dotted path that a missing name belongs to, or "" if only the data knows it."""
        if not isinstance(name, str | int):
            return ""
        name = str(name)
        paths = self.paths.get(name, frozenset())
        if len(paths) == 1:
            return next(iter(paths))
        return name if paths or name in self.constants else ""


def dotted_path(node: nodes.Node) -> str:
    """`user.address.city` of a chain of names and constant keys, or "" for anything else."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        base, last = dotted_path(node.node), node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        base, last = dotted_path(node.node), str(node.arg.value)
    else:
        return ""
    return f"{base}.{last}" if base else ""


class Language:
    """The allow-list, for the filters and tests that an environment has."""

    def __init__(self, *, filters: frozenset[str], tests: frozenset[str]) -> None:
        self._filters = filters
        self._tests = tests
        self._complaints: dict[type[nodes.Node], Callable[[Any], str | None] | None] = {
            **dict.fromkeys(_PLAIN_NODES),
            nodes.Name: _name,
            nodes.Getattr: _getattr,
            nodes.Keyword: _keyword,
            nodes.For: _for,
            nodes.CondExpr: _cond_expr,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
        }

    def admit(self, tree: nodes.Template) -> Words:
        """Refuse what is not allowed, and rewrite the rest to be counted and checked.

        Raises:
            NotAllowed: for the first thing that is not on the list.
        """
        functions = {macro.name for macro in tree.find_all(nodes.Macro)} | {"caller"}
        constants: set[str] = set()
        paths: dict[str, set[str]] = {}
        waiting: list[nodes.Node] = [tree]
        while waiting:
            node = waiting.pop()
            self._admit_one(node)
            _note_words(node, constants, paths)
            if isinstance(node, nodes.Call):
                waiting.extend(_admit_call(node, functions))
            else:
                waiting.extend(node.iter_child_nodes())
        _Rewriting().visit(tree)
        assert tree.environment is not None
        tree.set_environment(tree.environment)
        return Words(
            constants=frozenset(constants),
            paths={last: frozenset(full) for last, full in paths.items()},
        )

    def _admit_one(self, node: nodes.Node) -> None:
        if type(node) not in self._complaints:
            raise NotAllowed(f"{_statement(node)} is not allowed", line=node.lineno)
        complain = self._complaints[type(node)]
        complaint = complain(node) if complain is not None else None
        if complaint is not None:
            raise NotAllowed(complaint, line=node.lineno)

    def _filter(self, node: nodes.Filter) -> str | None:
        if node.name not in self._filters:
            return f"there is no filter '{node.name}'"
        return _no_unpacking(node)

    def _test(self, node: nodes.Test) -> str | None:
        if node.name not in self._tests:
            return f"there is no test '{node.name}'"
        return _no_unpacking(node)


_PLAIN_NODES: Final[tuple[type[nodes.Node], ...]] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.With),
    *(nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.Assign, nodes.AssignBlock),
    *(nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Getitem, nodes.Slice),
    *(nodes.Call, nodes.Concat, nodes.Compare, nodes.Operand, nodes.Not, nodes.And, nodes.Or),
    *(nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv),
    *(nodes.Mod, nodes.Pow),
)

_STATEMENTS: Final[dict[type[nodes.Node], str]] = {
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.Scope: "{% autoescape %}",
    nodes.NSRef: "setting an attribute",
}


def _statement(node: nodes.Node) -> str:
    return _STATEMENTS.get(type(node), type(node).__name__)


def _name(node: nodes.Name) -> str | None:
    if node.name in _RESERVED_NAMES or node.name.startswith("__"):
        return f"the name '{node.name}' is not allowed"
    return None


def _getattr(node: nodes.Getattr) -> str | None:
    return f"'{node.attr}' is not allowed" if node.attr.startswith("__") else None


def _keyword(node: nodes.Keyword) -> str | None:
    return f"'{node.key}' is not allowed" if node.key.startswith("__") else None


def _for(node: nodes.For) -> str | None:
    return "a recursive loop is not allowed" if node.recursive else None


def _cond_expr(node: nodes.CondExpr) -> str | None:
    # Without one, the value is missing whenever the condition is false: known before any send.
    return "an inline 'if' needs an 'else'" if node.expr2 is None else None


def _no_unpacking(node: nodes.Call | nodes.Filter | nodes.Test) -> str | None:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "unpacking of arguments is not allowed"
    return None


def _admit_call(call: nodes.Call, functions: set[str]) -> list[nodes.Node]:
    """Let a call name a method on the list, a macro of this template or `range`, nothing else.

    Returns:
        The parts of the call that are still to be looked at.
    """
    target = call.node
    complaint = _no_unpacking(call)
    parts: list[nodes.Node] = [*call.args, *call.kwargs]
    if isinstance(target, nodes.Getattr):
        parts.append(target.node)
        if target.attr not in METHODS:
            complaint = f"the method '{target.attr}' is not allowed"
    elif not isinstance(target, nodes.Name):
        complaint = "only macros, methods and range can be called"
    elif target.name == "range":
        if call.kwargs or not 1 <= len(call.args) <= 3:
            complaint = "range takes one to three numbers"
    elif target.name not in functions:
        complaint = f"'{target.name}' is not a function"
    if complaint is not None:
        raise NotAllowed(complaint, line=call.lineno)
    return parts


def _note_words(node: nodes.Node, constants: set[str], paths: dict[str, set[str]]) -> None:
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        # `map(attribute="address.city")` names its attributes by text.
        constants.update(node.value.split("."), (node.value,))
    elif isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem):
        path = dotted_path(node)
        last = path.rpartition(".")[2] or getattr(node, "attr", "")
        if last:
            paths.setdefault(last, set()).add(path or last)


def _filtered(node: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


class _Rewriting(NodeTransformer):
    """Puts our filters where harm or a gap shows only with the data.

    Jinja2 finds the methods by the names of its node types.
    """

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(cast(nodes.Expr, node.iter), COUNTED)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        paths = [dotted_path(child) for child in node.nodes]
        self.generic_visit(node)
        node.nodes = [
            child if isinstance(child, nodes.TemplateData) else _shown(child, path)
            for child, path in zip(node.nodes, paths, strict=True)
        ]
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        # `{% filter upper %}` has no node.
        path = dotted_path(node.node) if node.node is not None else ""
        self.generic_visit(node)
        if node.name in _TEXT_FILTERS and node.node is not None:
            node.node = _shown(node.node, path)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        paths = [dotted_path(child) for child in node.nodes]
        self.generic_visit(node)
        node.nodes = [_shown(*pair) for pair in zip(node.nodes, paths, strict=True)]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if any(operand.op in {"in", "notin"} for operand in node.ops):
            # `missing in []` is false in Python, as there is nothing to compare with.
            node.expr = _filtered(node.expr, KNOWN)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.node, nodes.Getattr):
            node.node.attr = CALL_MARK + node.node.attr
        elif isinstance(node.node, nodes.Name) and node.node.name == "range":
            # As a filter, it is no object that a template could get hold of.
            return _filtered(node.args[0], RANGE, *node.args[1:])
        return node


def _shown(node: nodes.Expr, path: str) -> nodes.Expr:
    return _filtered(node, SHOWN, nodes.Const(path, lineno=node.lineno))
