"""Compiles and renders one template, in the process that calls. Only the child should.

Every trouble that a template can make becomes a `RenderRefusal`; what it can do to the process
itself (time, memory, a crash) is for the parent to watch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

from jinja2 import Template, TemplateSyntaxError
from jinja2.exceptions import SecurityError

from cdp.ports.renderer import RenderFault, RenderRefusal
from cdp.rendering import limits
from cdp.rendering.environment import LimitExceeded, MissingVariable, TemplateEnvironment
from cdp.rendering.language import NotAllowed, Words

OUT_OF_MEMORY: Final = "took too much memory"

_HTML_PART: Final = "html"
_FILENAME: Final = "<template>"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPart:
    """One part, ready to render."""

    name: str
    template: Template
    environment: TemplateEnvironment
    words: Words


class OutputTooLarge(Exception):
    """A part became longer than `OUTPUT_BYTES_MAX`."""


class Engine:
    """The environments of a process: one that escapes, for `html`, and one that does not."""

    def __init__(self) -> None:
        self._escaping = TemplateEnvironment(autoescape=True)
        self._plain = TemplateEnvironment(autoescape=False)

    def compile(self, parts: Mapping[str, str]) -> list[CompiledPart] | RenderRefusal:
        """Compile all parts of a template, or say why one is refused."""
        compiled = []
        for name, source in parts.items():
            part = self._compile_part(name, source)
            if isinstance(part, RenderRefusal):
                return part
            compiled.append(part)
        return compiled

    def _compile_part(self, name: str, source: str) -> CompiledPart | RenderRefusal:
        environment = self._escaping if name == _HTML_PART else self._plain
        if len(source) > limits.SOURCE_CHARS_MAX:
            return RenderRefusal(
                fault=RenderFault.FORBIDDEN,
                detail=f"longer than {limits.SOURCE_CHARS_MAX} characters",
                part=name,
            )
        try:
            tree = environment.parse(source)
            words = environment.language.admit(tree)
            code = environment.compile(tree, filename=_FILENAME)
            assert isinstance(code, CodeType)
            template = environment.template_class.from_code(environment, code, {})
        except MemoryError:
            return RenderRefusal(fault=RenderFault.MEMORY, detail=OUT_OF_MEMORY, part=name)
        except Exception as error:
            return _compile_refusal(error, part=name)
        return CompiledPart(name=name, template=template, environment=environment, words=words)


def render(parts: list[CompiledPart], data: dict[str, Any]) -> dict[str, str] | RenderRefusal:
    """The text of all parts for one recipient, or the first refusal."""
    texts = {}
    for part in parts:
        try:
            texts[part.name] = _render_part(part, data)
        except MemoryError:
            # The traceback holds what filled the memory; it goes with this handler.
            return RenderRefusal(fault=RenderFault.MEMORY, detail=OUT_OF_MEMORY, part=part.name)
        except Exception as error:
            return _render_refusal(error, part)
    return texts


def _render_part(part: CompiledPart, data: dict[str, Any]) -> str:
    part.environment.iterations_left = limits.ITERATIONS_MAX
    context = part.template.new_context(data, shared=True)
    chunks = []
    chars = 0
    # Not `Template.generate`, which rewrites the traceback of each error, for milliseconds.
    for chunk in part.template.root_render_func(context):
        chars += len(chunk)
        if chars > limits.OUTPUT_BYTES_MAX:
            raise OutputTooLarge
        chunks.append(chunk)
    text = "".join(chunks)
    if not text.isascii() and len(text.encode()) > limits.OUTPUT_BYTES_MAX:
        raise OutputTooLarge
    return text


def _compile_refusal(error: Exception, *, part: str) -> RenderRefusal:
    fault, line = RenderFault.SYNTAX, None
    if isinstance(error, NotAllowed):
        fault, detail, line = RenderFault.FORBIDDEN, error.complaint, error.line
    elif isinstance(error, TemplateSyntaxError):
        detail, line = error.message or "", error.lineno
    elif isinstance(error, RecursionError):
        detail = "nested too deeply"
    else:
        detail = f"cannot be compiled ({type(error).__name__})"
    return RenderRefusal(fault=fault, detail=detail, part=part, line=line)


def _render_refusal(error: Exception, part: CompiledPart) -> RenderRefusal:
    fault, variables = RenderFault.ERROR, ()
    if isinstance(error, MissingVariable):
        return _missing_refusal(error, part)
    if isinstance(error, SecurityError | LimitExceeded):
        fault, detail = RenderFault.FORBIDDEN, error.message or ""
    elif isinstance(error, OutputTooLarge):
        fault = RenderFault.OUTPUT_TOO_LARGE
        detail = f"longer than {limits.OUTPUT_BYTES_MAX} bytes"
    elif isinstance(error, RecursionError):
        detail = "nested too deeply"
    elif isinstance(error, UnicodeEncodeError):
        detail = "the result is not valid Unicode"
    else:
        # Its message may quote the data.
        detail = type(error).__name__
    return RenderRefusal(
        fault=fault, detail=detail, part=part.name, line=_line(error, part), variables=variables
    )


def _missing_refusal(error: MissingVariable, part: CompiledPart) -> RenderRefusal:
    if error.is_root and isinstance(error.name, str):
        name = error.name
    else:
        name = part.words.full_name(error.name)
    detail = f"'{name}' is missing or null" if name else "a value is missing or null"
    return RenderRefusal(
        fault=RenderFault.MISSING_VARIABLE,
        detail=detail,
        part=part.name,
        line=_line(error, part),
        variables=(name,) if name else (),
    )


def _line(error: Exception, part: CompiledPart) -> int | None:
    """The line of the template in which it went wrong: that of its innermost frame."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILENAME:
            line = part.template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
