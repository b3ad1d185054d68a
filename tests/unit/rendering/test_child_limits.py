"""T2, T4: the limits that are judged in the child itself, each at it and one over it."""

import pytest

from cdp.ports.renderer import RenderFault, RenderRefusal
from cdp.rendering import limits


def fault(outcome: str | RenderRefusal) -> RenderFault | None:
    return outcome.fault if isinstance(outcome, RenderRefusal) else None


@pytest.mark.parametrize("letter", ["x", "é", "\N{PARTY POPPER}"])
def test_t4_output_of_one_byte_over_the_limit_is_refused(render_here, letter):
    fits = letter * (limits.OUTPUT_BYTES_MAX // len(letter.encode()))

    assert render_here("{{ x }}", x=fits) == fits
    assert fault(render_here("{{ x }}y", x=fits)) is RenderFault.OUTPUT_TOO_LARGE


def test_t4_output_is_stopped_on_the_way(render_here):
    source = "{% for i in range(100000) %}{{ x }}{% endfor %}{{ missing }}"

    assert fault(render_here(source, x="x" * 10_000)) is RenderFault.OUTPUT_TOO_LARGE


def test_t4_one_iteration_over_the_limit_is_refused(render_here):
    half = limits.ITERATIONS_MAX // 2
    loops = "{% for i in range(n) %}{% endfor %}{% for i in range(m) %}{% endfor %}"

    assert render_here(loops, n=half, m=half) == ""
    assert fault(render_here(loops, n=half, m=half + 1)) is RenderFault.FORBIDDEN


def test_t4_nested_loops_count_each_round(render_here):
    source = "{% for i in range(n) %}{% for j in range(1000) %}{% endfor %}{% endfor %}"

    assert render_here(source, n=99) == ""
    assert fault(render_here(source, n=100)) is RenderFault.FORBIDDEN


def test_t4_each_rendering_has_its_own_iterations(render_here):
    for _ in range(3):
        assert render_here("{% for i in range(60000) %}{% endfor %}") == ""


def test_t4_a_range_of_one_over_the_limit_is_refused(render_here):
    assert render_here("{{ range(n)|length }}", n=limits.ITERATIONS_MAX) == "100000"
    assert fault(render_here("{{ range(n)|length }}", n=100_001)) is RenderFault.FORBIDDEN


@pytest.mark.parametrize("source", ["{{ ('x' * n)|length }}", "{{ (n * 'x')|length }}"])
def test_t4_text_repeated_once_too_often_is_refused(render_here, source):
    assert render_here(source, n=limits.REPEATED_CHARS_MAX) == "10000"
    assert fault(render_here(source, n=limits.REPEATED_CHARS_MAX + 1)) is RenderFault.FORBIDDEN


def test_t4_a_list_repeated_too_often_is_refused(render_here):
    assert fault(render_here("{{ ([1, 2] * 5001)|length }}")) is RenderFault.FORBIDDEN


@pytest.mark.parametrize(
    "source",
    [
        "{{ 2 ** 2049 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{% set a = 2 ** 2000 %}{% set a = a * a * a * a %}{{ a }}",
        "{{ 7 ** -(10 ** 400) * 2 ** 4000 }}",
    ],
)
def test_t4_numbers_do_not_grow_without_end(render_here, source):
    assert fault(render_here(source)) in {RenderFault.FORBIDDEN, RenderFault.ERROR}


@pytest.mark.parametrize(
    "source",
    ["{{ [1]|batch(n, 'x')|list }}", "{{ [1]|slice(n)|list }}", "{{ 1|round(n, 'ceil') }}"],
)
def test_t4_a_filter_takes_no_huge_number(render_here, source):
    assert fault(render_here(source, n=limits.FILTER_NUMBER_MAX + 1)) is RenderFault.FORBIDDEN


def test_t4_a_source_of_one_character_over_the_limit_is_refused(render_here):
    fits = "x" * limits.SOURCE_CHARS_MAX

    assert render_here(fits) == fits
    assert fault(render_here(fits + "x")) is RenderFault.FORBIDDEN


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{{ " + "+".join(["1"] * 20_000) + " }}",
        "{{ x" + ".a" * 20_000 + " }}",
        "{% if x %}" * 2_000 + "{% endif %}" * 2_000,
        "{% for i in x %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "9" * 5_000 + " }}",
    ],
)
def test_t2_a_source_nested_too_deeply_is_a_syntax_error(render_here, source):
    assert fault(render_here(source)) is RenderFault.SYNTAX


def test_t4_a_macro_without_end_is_refused(render_here):
    source = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"

    assert fault(render_here(source)) is RenderFault.ERROR


def test_a_half_surrogate_pair_is_no_text(render_here):
    assert fault(render_here(r"{{ '\ud800' }}")) is RenderFault.ERROR
