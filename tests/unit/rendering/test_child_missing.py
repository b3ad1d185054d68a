"""T5: a missing variable is refused by its name, never dropped in silence."""

import pytest

from cdp.ports.renderer import RenderFault, RenderRefusal


@pytest.mark.parametrize(
    ("source", "variable"),
    [
        ("{{ name }}", "name"),
        ("{{ user.name }}", "user.name"),
        ("{{ user['name'] }}", "user.name"),
        ("{{ user.name.first }}", "user.name"),
        ("{{ nobody.name }}", "nobody"),
        ("{{ nobody['name'] }}", "nobody"),
        ("{{ items[7] }}", "items.7"),
        ("{% for item in items %}{{ item.price }}{% endfor %}", "item.price"),
        ("{% for item in nobody %}{% endfor %}", "nobody"),
        ("{% for item in user.orders %}{% endfor %}", "user.orders"),
        ("{% if name %}{% endif %}", "name"),
        ("{% if not user.name %}{% endif %}", "user.name"),
        ("{% if user.name == 'x' %}{% endif %}", "user.name"),
        ("{% if name and true %}{% endif %}", "name"),
        ("{% if name is none %}{% endif %}", "name"),
        ("{% if name is string %}{% endif %}", "name"),
        ("{% if name in [] %}{% endif %}", "name"),
        ("{% if name not in {} %}{% endif %}", "name"),
        ("{% if 'x' in name %}{% endif %}", "name"),
        ("{{ name or 'x' }}", "name"),
        ("{{ name|upper }}", "name"),
        ("{{ name|length }}", "name"),
        ("{{ name|int }}", "name"),
        ("{{ name|list }}", "name"),
        ("{{ name|tojson }}", "name"),
        ("{{ [name]|tojson }}", "name"),
        ("{{ [name]|join }}", "name"),
        ("{{ {'a': name} }}", "name"),
        ("{{ name ~ 'x' }}", "name"),
        ("{{ name + 'x' }}", "name"),
        ("{{ 2 * name }}", "name"),
        ("{{ -name }}", "name"),
        ("{{ 'x'|replace('x', name) }}", "name"),
        ("{{ 'x'.replace('x', name) }}", "name"),
        ("{{ name.upper() }}", "name"),
        ("{{ user[name] }}", "name"),
        ("{{ range(name) }}", "name"),
        ("{{ items|selectattr('vip')|list }}", "vip"),
        ("{{ items|map(attribute='vip')|join }}", "vip"),
        ("{% set a = name %}{{ a }}", "name"),
        ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(name) }}", "name"),
        ("{% macro m(label) %}{{ label }}{% endmacro %}{{ m() }}", "label"),
    ],
)
def test_t5_a_missing_variable_is_refused_wherever_it_stands(render_here, source, variable):
    outcome = render_here("\n" + source, user={"id": 1}, items=[{"id": 1}])

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.MISSING_VARIABLE
    assert outcome.variables == (variable,)
    assert variable in outcome.detail
    assert outcome.line == 2


@pytest.mark.parametrize(
    "source", ["{{ name }}", "{{ name|upper }}", "{{ name ~ '' }}", "{{ name|title|trim }}"]
)
def test_t5_null_counts_as_missing_where_it_would_be_printed(render_here, source):
    outcome = render_here(source, name=None)

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.MISSING_VARIABLE
    assert outcome.variables == ("name",)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ name|default('you') }}", "you"),
        ("{{ user.name|d('you')|upper }}", "YOU"),
        ("{{ null|default('you', true) }}", "you"),
        ("{% if name is defined %}yes{% else %}no{% endif %}", "no"),
        ("{% if user.name is undefined %}no{% endif %}", "no"),
        ("{% if null is none %}none{% endif %}", "none"),
        ("{{ items|first|default('nothing') }}", "nothing"),
        ("{{ items|selectattr('vip', 'defined')|list|length }}", "0"),
        ("{{ user.get('name', 'you') }}", "you"),
        ("{% if false and name %}{% endif %}", ""),
        ("{{ '' }}{{ 0 }}{{ false }}", "0False"),
    ],
)
def test_t5_default_and_defined_work_as_usual(render_here, source, text):
    assert render_here(source, user={"id": 1}, items=[], null=None) == text


def test_t5_a_key_from_the_data_is_not_told(render_here):
    outcome = render_here("{{ prices[user.country] }}", prices={}, user={"country": "secret"})

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.MISSING_VARIABLE
    assert "secret" not in repr(outcome)


def test_an_inline_if_without_else_is_refused_before_it_can_be_missing(render_here):
    outcome = render_here("{{ 'x' if true }}")

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.FORBIDDEN
