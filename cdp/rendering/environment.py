"""The Jinja2 environment of a child: what a name, an attribute, a filter or an operator means here.

Attributes of data are its keys and nothing else; methods come from `cdp.rendering.language`'s
list. Nothing is evaluated while compiling, and what is missing refuses instead of vanishing.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from types import BuiltinMethodType, MethodType
from typing import Any, Final, cast

from jinja2 import StrictUndefined, TemplateRuntimeError, UndefinedError, nodes
from jinja2 import filters as jinja_filters
from jinja2 import tests as jinja_tests
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.filters import _GroupTuple, do_format
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from markupsafe import Markup

from cdp.rendering import language, limits


class MissingVariable(UndefinedError):
    """A template used a value that the recipient's data does not have, or that is null."""

    def __init__(self, message: str = "", *, name: object, is_root: bool) -> None:
        super().__init__(message)
        self.name = name
        self.is_root = is_root
        """Whether the name stands in the template itself; a key could come from the data."""


class LimitExceeded(TemplateRuntimeError):
    """A template asked for more than one of `cdp.rendering.limits`."""


class Missing(StrictUndefined):
    """A value that is not there. Only `default` and `is defined` may touch it."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        super().__init__(hint, obj, name, exc)
        if exc is UndefinedError:
            self._undefined_exception = partial(  # type: ignore[assignment]
                MissingVariable, name=name, is_root=obj is missing
            )

    def refuse(self) -> None:
        """Raise what every use of the value raises."""
        self._fail_with_undefined_error()

    # Otherwise a dict that holds the value would print as `{'name': Undefined}`.
    __repr__ = StrictUndefined._fail_with_undefined_error


class _NothingFolded(CodeGenerator):
    """Compiles without evaluating: Jinja2 runs `{{ "x" * 300000000 }}` to have the result ready."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if isinstance(node, nodes.TemplateData):
            return super()._output_child_to_const(node, frame, finalize)
        raise nodes.Impossible


_PROPERTIES: Final[Mapping[type, frozenset[str]]] = {
    LoopContext: frozenset(
        {
            *("index", "index0", "revindex", "revindex0", "first", "last", "length"),
            *("previtem", "nextitem"),
        }
    ),
    _GroupTuple: frozenset({"grouper", "list"}),
}
_TEXT_METHODS: Final = frozenset(
    {
        *("upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip"),
        *("split", "startswith", "endswith", "replace"),
    }
)
_METHODS: Final[Mapping[type, frozenset[str]]] = {
    dict: frozenset({"items", "keys", "values", "get"}),
    str: _TEXT_METHODS,
    Markup: _TEXT_METHODS,
    LoopContext: frozenset({"cycle", "changed"}),
}
_CONTAINERS: Final = (dict, list, tuple, str)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, narrowed to plain data."""

    code_generator_class = _NothingFolded
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            undefined=Missing,
            autoescape=autoescape,
            optimized=False,
            cache_size=0,
            keep_trailing_newline=True,
        )
        self.iterations_left = limits.ITERATIONS_MAX
        self.globals.clear()
        self.filters.clear()
        self.filters.update(_allowed_filters())
        self.tests.clear()
        self.tests.update(_allowed_tests())
        self.language = language.Language(
            filters=frozenset(self.filters), tests=frozenset(self.tests)
        )
        self.filters.update(
            {
                language.SHOWN: _shown,
                language.KNOWN: _known,
                language.RANGE: _range,
                language.COUNTED: self._counted,
            }
        )
        self.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": _no_json}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a dict, a property of a loop, or, marked as a call, a method on the list."""
        if attribute.startswith(language.CALL_MARK):
            return self._method(obj, attribute.removeprefix(language.CALL_MARK))
        if isinstance(obj, dict):
            if attribute in obj:
                return obj[attribute]
        elif attribute in _PROPERTIES.get(type(obj), ()):
            return getattr(obj, attribute)
        return self._absent(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A key of a dict or a position of a list; never an attribute of a Python object."""
        if isinstance(argument, Missing):
            argument.refuse()
        if isinstance(obj, _CONTAINERS):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        if argument in _PROPERTIES.get(type(obj), ()):
            # The path by which `map(attribute="grouper")` comes.
            return getattr(obj, argument)
        return self._absent(obj, argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether it is a macro, or a method that `getattr` gave out."""
        return isinstance(obj, Macro | BuiltinMethodType | MethodType)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Call a macro or a method; a method gets no missing value."""
        if not isinstance(__obj, Macro):
            _refuse_missing(args, kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`*`, `**` and `%`, of which a few characters can fill the memory."""
        _bound_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def _method(self, obj: Any, name: str) -> Any:
        if isinstance(obj, Missing):
            obj.refuse()
        if name in _METHODS.get(type(obj), ()):
            return getattr(obj, name)
        return self.undefined(f"there is no method '{name}' here", exc=SecurityError)

    def _absent(self, obj: Any, name: Any) -> Missing:
        if isinstance(obj, Missing):
            obj.refuse()
        if isinstance(name, str) and not isinstance(obj, dict) and hasattr(type(obj), name):
            return Missing("attributes of Python objects are not allowed", exc=SecurityError)
        return Missing(obj=obj, name=name)

    def _counted(self, iterable: Any) -> Any:
        """What a loop goes through, taken from the allowance of this part."""
        # Everything that a template can loop over has a length; filters give lists.
        self.iterations_left -= len(iterable)
        if self.iterations_left < 0:
            raise LimitExceeded(f"more than {limits.ITERATIONS_MAX} iterations of loops")
        return iterable


_PRINTABLE: Final = frozenset({str, Markup, int, float, bool, list, dict, tuple})


def _shown(value: Any, path: str) -> Any:
    """A value on its way into the text. Null is missing: nobody wants to be "Dear None"."""
    if type(value) in _PRINTABLE:
        return value
    if value is None:
        raise MissingVariable(name=path, is_root=True)
    if isinstance(value, Missing):
        value.refuse()
    if isinstance(value, Macro | range):
        raise SecurityError(f"a {type(value).__name__.lower()} has no text")
    return value


def _known(value: Any) -> Any:
    if isinstance(value, Missing):
        value.refuse()
    return value


def _range(*args: Any) -> range:
    _refuse_missing(args, {})
    numbers = range(*args)
    if len(numbers) > limits.ITERATIONS_MAX:
        raise LimitExceeded(f"a range of more than {limits.ITERATIONS_MAX}")
    return numbers


def _no_json(value: Any) -> Any:
    if isinstance(value, Missing):
        value.refuse()
    raise TypeError


def _refuse_missing(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    for value in args:
        if isinstance(value, Missing):
            value.refuse()
    for value in kwargs.values():
        if isinstance(value, Missing):
            value.refuse()


def _bound_operator(operator: str, left: Any, right: Any) -> None:
    if operator == "%":
        if isinstance(left, str):
            raise SecurityError("'%' on text is not allowed; use the filter 'format'")
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length()
        if max(bits, right.bit_length()) > limits.INTEGER_BITS_MAX:
            raise LimitExceeded("a number is too large")
    elif operator == "*":
        for many, times in ((left, right), (right, left)):
            is_repetition = isinstance(many, str | list | tuple) and isinstance(times, int)
            if is_repetition and len(many) * times > limits.REPEATED_CHARS_MAX:
                raise LimitExceeded(f"repeated to more than {limits.REPEATED_CHARS_MAX}")


_DIRECTIVE: Final = re.compile(r"%(?:%|[-+ 0#]?\d{0,2}(?:\.\d{1,2})?[sdfgex])")


def _format(pattern: Any, *args: Any) -> Any:
    """`"%.2f"|format(price)`, with widths of two digits at most and nothing by name."""
    if "%" in _DIRECTIVE.sub("", str(pattern)):
        raise SecurityError("the filter 'format' knows %s, %d and %.2f, with up to two digits")
    return do_format(pattern, *args)


_FILTERS: Final = cast(dict[str, Callable[..., Any]], jinja_filters.FILTERS)
_TESTS: Final = cast(dict[str, Callable[..., Any]], jinja_tests.TESTS)

_PLAIN_FILTERS: Final = (
    *("abs", "capitalize", "count", "dictsort", "e", "escape", "filesizeformat", "first"),
    *("float", "forceescape", "int", "join", "last", "length", "list", "lower", "max", "min"),
    *("replace", "safe", "sort", "string", "striptags", "sum", "title", "tojson", "trim"),
    *("truncate", "upper", "urlencode", "wordcount"),
)
_LIST_FILTERS: Final = (
    *("groupby", "items", "map", "reject", "rejectattr", "reverse", "select", "selectattr"),
    "unique",
)
_BOUNDED_FILTERS: Final = ("batch", "slice", "round")
_STRICT_TESTS: Final = (
    *("odd", "even", "divisibleby", "none", "boolean", "false", "true", "integer", "float"),
    *("lower", "upper", "string", "mapping", "number", "sequence", "iterable", "sameas", "in"),
    *("==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", ">=", "ge"),
    *("<", "lt", "lessthan", "<=", "le"),
)


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, refusing a missing value that it would have taken for something."""

    @wraps(function)
    def strict(*args: Any, **kwargs: Any) -> Any:
        _refuse_missing(args, kwargs)
        return function(*args, **kwargs)

    return strict


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same filter with a list for a result, so that every loop knows its length."""

    @wraps(function)
    def listing(*args: Any, **kwargs: Any) -> Any:
        _refuse_missing(args, kwargs)
        result = function(*args, **kwargs)
        return list(result) if isinstance(result, Iterator) else result

    return listing


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same filter, refusing numbers that make it a bomb."""

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        for number in (*args[1:], *kwargs.values()):
            if isinstance(number, int | float) and not abs(number) <= limits.FILTER_NUMBER_MAX:
                raise LimitExceeded(f"a filter's number above {limits.FILTER_NUMBER_MAX}")
        return listed(*args, **kwargs)

    listed = _listing(function)
    return bounded


def _allowed_filters() -> dict[str, Callable[..., Any]]:
    allowed = {name: _strict(_FILTERS[name]) for name in _PLAIN_FILTERS}
    allowed |= {name: _listing(_FILTERS[name]) for name in _LIST_FILTERS}
    allowed |= {name: _bounded(_FILTERS[name]) for name in _BOUNDED_FILTERS}
    allowed |= dict.fromkeys(("d", "default"), _FILTERS["default"])
    allowed["format"] = _strict(_format)
    return allowed


def _allowed_tests() -> dict[str, Callable[..., Any]]:
    allowed = {name: _strict(_TESTS[name]) for name in _STRICT_TESTS}
    allowed |= {name: _TESTS[name] for name in ("defined", "undefined")}
    return allowed
