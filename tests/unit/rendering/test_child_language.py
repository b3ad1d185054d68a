"""T1, T2: what a template can say, and that every known way out of Jinja2's sandbox is closed."""

import pytest

from cdp.ports.renderer import RenderFault, RenderRefusal

DATA = {
    "x": "text",
    "n": 3,
    "items": [{"name": "b", "price": 2}, {"name": "a", "price": 1}],
    "user": {"name": "Bo", "items": "data", "vip": True},
}

ESCAPES = {
    "CVE-2016-10745, str.format": "{{ '{0.__class__}'.format(x) }}",
    "CVE-2019-10906, str.format_map": "{{ '{x.__class__}'.format_map({'x': x}) }}",
    "CVE-2024-56201, braces in the name of an import": "{% from '{1/0}' import a with context %}",
    "CVE-2024-56201, braces in an include": "{% include '{__import__}' %}",
    "CVE-2024-56326, format passed on": "{% set f = '{0.__class__}'.format %}{{ f(x) }}",
    "CVE-2024-56326, format as a filter's argument": "{{ ['{0.a}']|map('format', x)|list }}",
    "CVE-2024-56326, format held in a list": "{{ [''.format][0](x) }}",
    "CVE-2025-27516, format by attr": "{{ ('{0.__class__}'|attr('format'))(x) }}",
    "CVE-2025-27516, attr by map": "{{ ['{0}']|map('attr', 'format')|list }}",
    "format by an attribute's name": "{{ ['{0}']|map(attribute='format')|list }}",
    "format by an item's name": "{{ '{0}'['format'](x) }}",
    "format by format's bytes": "{{ '{0.__class__}'|format(x) }}{{ x.__class__ }}",
    "class": "{{ x.__class__ }}",
    "class by item": "{{ x['__class__'] }}",
    "class by a joined name": "{{ x['__cla' ~ 'ss__'] }}",
    "class by map": "{{ [x]|map(attribute='__class__')|list }}",
    "class by sum": "{{ [x]|sum(attribute='__class__') }}",
    "class by groupby": "{{ [x]|groupby('__class__') }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals of a function": "{{ lipsum.__globals__ }}",
    "globals of a macro": "{% macro m() %}{% endmacro %}{{ m.__call__.__func__.__globals__ }}",
    "globals of a macro by item": "{% macro m() %}{% endmacro %}{{ m['_func'] }}",
    "environment of a loop": "{% for i in [1] %}{{ loop._iterator }}{% endfor %}",
    "loop's undefined": "{% for i in [1] %}{{ loop['_undefined'] }}{% endfor %}",
    "caller's frame": "{{ caller.gi_frame }}",
    "self": "{{ self._TemplateReference__context }}",
    "self as a value": "{% set s = self %}",
    "super": "{{ super() }}",
    "cycler": "{{ cycler.__init__.__globals__.os }}",
    "joiner": "{{ joiner('x') }}",
    "namespace": "{% set ns = namespace(a=1) %}",
    "attribute set": "{% set user.name = 'x' %}",
    "mutation": "{% set _ = items.append(1) %}",
    "mutation of a dict": "{{ user.update({'a': 1}) }}",
    "encode": "{{ x.encode() }}",
    "translate": "{{ x.translate({}) }}",
    "call of data": "{{ x() }}",
    "call of an item": "{{ user['name']() }}",
    "call of a filter's result": "{{ (x|upper)() }}",
    "unpacked arguments": "{{ x.replace(*items) }}",
    "unpacked keywords": "{{ x|replace(**user) }}",
    "autoescape off": "{% autoescape false %}{{ x }}{% endautoescape %}",
    "extends": "{% extends 'x' %}",
    "import": "{% import 'x' as y %}",
    "block": "{% block a %}{% endblock %}",
    "recursive loop": "{% for i in items recursive %}{{ loop(items) }}{% endfor %}",
    "xmlattr": "{{ {'a b': 1}|xmlattr }}",
    "pprint": "{{ x|pprint }}",
    "random": "{{ items|random }}",
    "urlize": "{{ x|urlize }}",
    "unknown filter": "{% if false %}{{ x|nothing }}{% endif %}",
    "unknown test": "{{ x is callable }}",
    "our own filter": "{{ items|_counted }}",
    "range as a value": "{{ range }}",
    "range of no number": "{{ range() }}",
    "percent on text": "{{ '%999999d' % n }}",
    "wide format": "{{ '%999999d'|format(n) }}",
    "format by a name": "{{ '%(a)s'|format(a=1) }}",
    "format with a width from outside": "{{ '%*d'|format(9, 1) }}",
}


@pytest.mark.parametrize("source", ESCAPES.values(), ids=ESCAPES.keys())
@pytest.mark.parametrize("part", ["text", "html"])
def test_t1_no_way_out_of_the_sandbox_is_open(render_here, source, part):
    outcome = render_here(source, part=part, **DATA)

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault in {
        RenderFault.FORBIDDEN,
        RenderFault.MISSING_VARIABLE,
        RenderFault.ERROR,
    }
    assert outcome.part == part


@pytest.mark.parametrize(
    "source",
    [
        "{{ x.upper }}",
        "{{ user.get }}",
        "{{ [x.upper]|join }}",
        "{{ [1]|map(attribute='append')|join }}",
    ],
)
def test_t1_a_method_can_be_called_but_never_held(render_here, source):
    outcome = render_here(source, **DATA)

    assert isinstance(outcome, RenderRefusal)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ user.name|upper }} {{ x.upper() }}", "BO TEXT"),
        ("{{ user.items }} {{ user['name'] }}", "data Bo"),
        ("{% for k, v in user.items() %}{{ k }}{% endfor %}", "nameitemsvip"),
        ("{% for i in items|sort(attribute='name') %}{{ i.name }}{% endfor %}", "ab"),
        (
            "{% for g in items|groupby('name') %}{{ g.grouper }}{{ g.list|length }}{% endfor %}",
            "a1b1",
        ),
        ("{{ items|map(attribute='price')|sum }} {{ items|sum(attribute='price') }}", "3 3"),
        ("{{ items|selectattr('price', 'gt', 1)|map(attribute='name')|first }}", "b"),
        ("{{ items|map(attribute='name')|map('upper')|join(',') }}", "B,A"),
        (
            "{% for i in range(1, n) %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}",
            "1a2b",
        ),
        ("{% for i in [] %}{% else %}none{% endfor %}", "none"),
        ("{{ '%.2f'|format(n) }} {{ '%5s|%-3d|%%'|format('a', 1) }}", "3.00     a|1  |%"),
        (
            "{{ '-' * 10 }} {{ n * 2 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ 'a' ~ n }}",
            "---------- 6 1024 3 a3",
        ),
        ("{% macro b(u, t='go') %}[{{ u }} {{ t }}]{% endmacro %}{{ b('x') }}", "[x go]"),
        (
            "{% macro b() %}<{{ caller(1) }}>{% endmacro %}{% call(i) b() %}{{ i }}{% endcall %}",
            "<1>",
        ),
        ("{% set a %}b{% endset %}{% with c = 1 %}{{ a }}{{ c }}{% endwith %}", "b1"),
        ("{% filter upper %}a{% endfilter %}{% raw %}{{ }}{% endraw %}{# no #}", "A{{ }}"),
        (
            "{{ 'yes' if user.vip else 'no' }} {{ items[0].name }} {{ x[1:3] }}",
            "yes b ex",
        ),
        (
            "{{ [1, 2, 3]|batch(2)|length }} {{ 2.5|round|int }} {{ [3, 1]|sort|reverse|join }}",
            "2 2 31",
        ),
        ("a\n", "a\n"),
    ],
)
def test_what_a_mail_needs_works(render_here, source, text):
    assert render_here(source, **DATA) == text


def test_t1_only_html_is_escaped(render_here):
    source = "{{ x }}{{ x|safe }}"

    assert render_here(source, part="html", x="<b>") == "&lt;b&gt;<b>"
    assert render_here(source, part="text", x="<b>") == "<b><b>"
    assert render_here(source, part="subject", x="<b>") == "<b><b>"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("a\n{% if %}", 2),
        ("a\n\n{{ x", 3),
        ("{% for i in x %}", 1),
        ("a\n{% nothing %}", 2),
        ("\n{{ 'a' ", 2),
    ],
)
def test_t2_a_syntax_error_has_its_line(render_here, source, line):
    outcome = render_here(source)

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.SYNTAX
    assert outcome.line == line
    assert outcome.detail


@pytest.mark.parametrize(
    "source", ["a\n{{ x.__class__ }}", "a\n{{ x|attr('y') }}", "a\n{{ x.format() }}"]
)
def test_t2_what_is_not_allowed_has_its_line(render_here, source):
    outcome = render_here(source, x="")

    assert isinstance(outcome, RenderRefusal)
    assert (outcome.fault, outcome.line) == (RenderFault.FORBIDDEN, 2)


@pytest.mark.parametrize(
    "source",
    [
        '{% if false %}{{ "x" * 300000000 }}{% endif %}',
        '{% if false %}{{ "xxx"|replace("x", "x" * 9000)|replace("x", "x" * 9000) }}{% endif %}',
        "{% if false %}{{ 9 ** 9 ** 9 ** 9 }}{% endif %}",
        "{% if false %}{{ range(100000)|list|sum }}{% endif %}",
    ],
)
def test_t2_compiling_evaluates_nothing(engine, source):
    compiled = engine.compile({"text": source})

    assert not isinstance(compiled, RenderRefusal)


def test_what_goes_wrong_is_told_without_the_data(render_here):
    outcome = render_here("a\n{{ x|round }}", x="secret")

    assert isinstance(outcome, RenderRefusal)
    assert outcome.fault is RenderFault.ERROR
    assert outcome.line == 2
    assert "secret" not in repr(outcome)
