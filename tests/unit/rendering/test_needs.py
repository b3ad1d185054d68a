"""What a template is said to need, it needs: without it, nothing is rendered for anybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.template_needs import Needs
from cdp.ports.renderer import RenderFault, RenderRefusal
from cdp.rendering.engine import Engine, render
from cdp.rendering.needs import NEEDS_MAX, needs_of


@pytest.mark.parametrize(
    ("source", "needs"),
    [
        ("Hi", []),
        ("Hi {{ name }}", ["name"]),
        ("{{ user.name.first }}{{ user['city'] }}", ["user.city", "user.name.first"]),
        ("{{ name|upper }}{{ 'x' ~ title }}", ["name", "title"]),
        ("{{ '%.2f'|format(price) }}", []),
        ("{{ price * 2 + tax }}", ["price", "tax"]),
        ("{{ name.upper() }}{{ order.lines.items() }}", ["name", "order.lines"]),
        ("{% for n in range(count) %}{{ n }}{% endfor %}", ["count"]),
        ("{% for line in order.lines %}{{ line.title }}{% endfor %}", ["order.lines"]),
        ("{% if vip %}{{ name }}{% else %}{{ other }}{% endif %}", ["vip"]),
        ("{% if not user.vip %}{{ name }}{% endif %}", ["user.vip"]),
        ("{% if name is defined %}{{ name }}{% endif %}", []),
        ("{% if a and b %}x{% endif %}{{ a or b }}{{ a if true else b }}", []),
        ("{{ name|default('you') }}{{ title|d('') }}", []),
        ("{{ user.name|default('you') }}", ["user"]),
        ("{{ name|default('you')|upper }}", []),
        ("{% set name = 'x' %}{{ name }}", []),
        ("{% with name = 'x' %}{{ name }}{% endwith %}{{ name }}", []),
        ("{% macro m(name) %}{{ name }}{% endmacro %}{{ m(other) }}{{ name }}", []),
        ("{% for name in names %}{{ name }}{% endfor %}{{ name }}", ["names"]),
        ("{{ recipient.email }}{{ recipient.name }}", []),
        ("{{ unsubscribe_url }}", []),
        ("{{ lines[0] }}{{ data['a b'] }}{{ data[key] }}", ["data"]),
        ("{% raw %}{{ name }}{% endraw %}{# {{ name }} #}", []),
        ("{{ broken", []),
    ],
)
def test_what_is_used_whatever_the_data_are_is_needed(source, needs):
    assert list(needs_of({"subject": "Hi", "text": source})) == needs


def test_every_part_counts_and_each_variable_once():
    parts = {"subject": "{{ a }}", "html": "{{ b.c }}{{ a }}", "text": "{{ b.c }}"}

    assert needs_of(parts) == ("a", "b.c")


def test_there_is_a_bound():
    source = "".join(f"{{{{ v{n} }}}}" for n in range(NEEDS_MAX + 50))

    assert len(needs_of({"text": source})) == NEEDS_MAX


ENGINE = Engine()


def rendered(source, **data):
    """The text, or why there is none."""
    compiled = ENGINE.compile({"text": source})
    assert not isinstance(compiled, RenderRefusal), compiled
    return render(compiled, data)


NAMES = ("a", "b", "c")
paths = st.sampled_from(["a", "b", "c", "a.x", "b.x", "b.y.z", "c['x']"])
expressions = st.recursive(
    paths | st.just("'t'"),
    lambda inner: st.one_of(
        inner.map("({})|upper".format),
        inner.map("({})|default('d')".format),
        inner.map("({})|length".format),
        st.tuples(inner, inner).map("({0[0]}) ~ ({0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} or {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} if a is defined else {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]}) + ({0[1]})".format),
    ),
    max_leaves=4,
)
statements = st.one_of(
    expressions.map("{{{{ {} }}}}".format),
    st.tuples(expressions, expressions).map(
        "{{% if {0[0]} %}}{{{{ {0[1]} }}}}{{% endif %}}".format
    ),
    paths.map("{{% for i in {} %}}{{{{ i }}}}{{% endfor %}}".format),
    st.sampled_from(["{% set a = 'own' %}", "{% set b = {'x': 't'} %}", "text"]),
)
values = st.sampled_from(["t", {"x": "t"}, {"x": "t", "y": {"z": "t"}}, None, {"y": None}])


@given(
    sources=st.lists(statements, min_size=1, max_size=4),
    data=st.dictionaries(st.sampled_from(NAMES), values),
)
def test_what_lacks_a_need_could_not_have_been_rendered(sources, data):
    source = "".join(sources)
    lacking = Needs.of(needs_of({"text": source})).lacking(data, {})

    outcome = rendered(source, **data)

    if lacking:
        assert isinstance(outcome, RenderRefusal), (source, data, lacking)


@given(sources=st.lists(paths.map("{{{{ {} }}}}".format), min_size=1, max_size=4))
def test_of_plain_variables_none_is_overlooked(sources):
    source = "".join(sources)
    needs = Needs.of(needs_of({"text": source}))

    outcome = rendered(source)

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.MISSING_VARIABLE
    assert needs.lacking({}, {})
