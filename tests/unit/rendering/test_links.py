"""E9: which links are tracked, and that nothing else of an author's HTML changes."""

import html as html_text
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.rendering.links import decorate, links_in


def each(place):
    return lambda urls: [place(url) for url in urls]


def tracked(html: str) -> str:
    to = each(lambda url: f"https://t.example/?to={html_text.escape(url)}")
    return decorate(html, track=to, pixel_url=None)


@pytest.mark.parametrize(
    "tag",
    [
        '<a href="https://shop.example/">',
        "<a href='https://shop.example/'>",
        "<a href=https://shop.example/>",
        '<A HREF="https://shop.example/">',
        '<a class="b" href="https://shop.example/" title=">">',
        '<a\n  title=\'"\'\n  href = "https://shop.example/">',
        '<a href=" https://shop.example/\n">',
        '<area shape="rect" href="https://shop.example/">',
        '<a href="https://shop.example/" href="https://other.example/">',
    ],
)
def test_e9_a_link_is_found_in_any_spelling(tag):
    assert links_in(tag) == ["https://shop.example/"]
    assert '"https://t.example/?to=https://shop.example/"' in tracked(tag)


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:a@shop.example">',
        '<a href="tel:+4712345678">',
        '<a href="#top">',
        '<a href="/relative">',
        '<a href="//shop.example/">',
        '<a href="javascript:alert(1)">',
        "<a href>",
        '<a name="https://shop.example/">',
        '<a data-href="https://shop.example/">',
        '<a title=" href=https://shop.example/ ">',
        '<abbr href="https://shop.example/">',
        '<link href="https://shop.example/style.css">',
        '<img src="https://shop.example/logo.png">',
        '<a href="https://shop.example/" data-cdp-no-track>',
        '<a data-cdp-no-track="" href="https://shop.example/">',
        '<a href="https://shop.example/out" rel="nofollow unsubscribe">',
        '<a class="footer Unsubscribe" href="https://shop.example/out">',
        '<!-- <a href="https://shop.example/"> -->',
        '<!--[if mso]><a href="https://shop.example/"><![endif]-->',
        "<script>x = '<a href=\"https://shop.example/\">'</script>",
        '<style>/* <a href="https://shop.example/"> */</style>',
        '<title><a href="https://shop.example/"></title>',
        '<!-- <a href="https://shop.example/">',
        '<a href="https://shop.example/',
    ],
)
def test_e9_what_is_no_tracked_link_stays_as_it_is(html):
    assert links_in(html) == []
    assert tracked(html) == html


def test_e9_a_link_after_a_comment_or_a_script_is_tracked():
    html = '<!--> <a href="http://a.example/"></a><script >1</script ><a href="http://b.example/">'

    assert links_in(html) == ["http://a.example/", "http://b.example/"]


def test_e9_the_url_is_unescaped_for_the_callback():
    html = '<a href="https://shop.example/?a=1&amp;b=&quot;">x &amp; y</a>'

    assert links_in(html) == ['https://shop.example/?a=1&b="']
    assert tracked(html) == (
        '<a href="https://t.example/?to=https://shop.example/?a=1&amp;b=&quot;">x &amp; y</a>'
    )


def test_e9_a_link_for_which_there_is_nothing_stays_as_its_author_wrote_it():
    html = "<a href=http://a.example/>a</a><a href='http://b.example/?x&amp;y'>b</a>"
    track = each(lambda url: None if "b" in url else "u")

    assert decorate(html, track=track, pixel_url=None) == html.replace("http://a.example/", '"u"')


def test_e9_the_other_attributes_and_the_text_stay_byte_for_byte():
    html = "<p>\r\n<a  id='x' href=http://a.example/ TITLE=\"ü\" >é</a\t></p>"

    assert tracked(html) == html.replace(
        "http://a.example/", '"https://t.example/?to=http://a.example/"'
    )


@pytest.mark.parametrize(
    ("html", "before"),
    [
        ("<body>x</body></html>", "</body></html>"),
        ("<BODY>x</BODY >", "</BODY >"),
        ("<body>İ</body><!-- </body> -->", "</body><!-- </body> -->"),
        ("<body><script>'</body>'</script>x</body>", "</body>"),
        ("no body", ""),
    ],
)
def test_e9_the_pixel_stands_at_the_end_of_the_body(html, before):
    decorated = decorate(html, track=None, pixel_url="https://t.example/o?a=1&b=2")

    start = decorated.index("<img ")
    assert decorated[:start] + before == html
    assert decorated.endswith(before)
    assert 'src="https://t.example/o?a=1&amp;b=2" width="1" height="1" alt=""' in decorated


def test_e9_links_and_pixel_come_in_one_pass():
    html = '<body><a href="http://a.example/">a</a></body><a href="http://b.example/">b</a>'

    decorated = decorate(html, track=each(lambda _: "u"), pixel_url="p")

    assert decorated.startswith('<body><a href="u">a</a><img src="p" ')
    assert decorated.endswith('</body><a href="u">b</a>')


def test_without_anything_to_put_in_the_html_is_the_same():
    html = '<body><a href="http://a.example/">a</a></body>'

    assert decorate(html, track=None, pixel_url=None) == html


@pytest.mark.parametrize(
    "piece",
    [
        "<!--",
        "<script ",
        "<a '",
        '<a "',
        "<a '\"",
        "<a href=",
        "<a href= ",
        "<a b",
        "</body ",
        "<a ",
        '<a b="" ',
        '<a b="',
        '<a href="http://',
        '<a href="http://" ',
        '<a b="unsubscribe" ',
    ],
)
def test_t3_broken_html_of_the_largest_size_takes_linear_time(piece):
    html = piece * (1_000_000 // len(piece))

    started = perf_counter()
    decorate(html, track=each(lambda url: url), pixel_url="p")

    assert perf_counter() - started < 5


@given(url=st.from_regex(r"https?://[ -~é]{0,20}", fullmatch=True), quote=st.sampled_from("\"'"))
def test_e9_any_url_comes_to_the_callback_as_the_author_meant_it(url, quote):
    html = f"<a href={quote}{html_text.escape(url)}{quote}>x</a>"

    assert links_in(html) == [url.strip()]


@given(html=st.text(alphabet="<>a/!-\"'= hrefbodyscript", max_size=200))
def test_e9_whatever_the_html_only_the_found_links_change(html):
    assert decorate(html, track=each(lambda _: "u"), pixel_url=None).count('"u"') >= len(
        links_in(html)
    )
    assert decorate(html, track=None, pixel_url="p").count("<img ") == html.count("<img ") + 1


attributes = st.lists(
    st.one_of(
        st.sampled_from(["href", "HREF", "Href"]).map(lambda name: f'{name}="https://a.example/"'),
        st.sampled_from(
            [
                'class="button"',
                'class="x Unsubscribe"',
                "rel='unsubscribe'",
                'title="to unsubscribe > here"',
                'style="color: #fff"',
                "data-cdp-no-track",
                'data-cdp-no-track=""',
                'hreflang="de"',
                "title='\"'",
                'href="mailto:a@shop.example"',
                'href="https://b.example/?x=1&amp;y=2"',
                'href="https://b.example/?x=1&AMP;y=2\n"',
                "download",
                '"',
            ]
        ),
    ),
    max_size=4,
)


@given(attributes=attributes, space=st.sampled_from([" ", "\n ", "/", ""]))
def test_e9_how_a_link_is_written_makes_no_difference(attributes, space):
    html = f"<a {' '.join(attributes)}{space}>x</a>"
    # A name that does not begin with "a" alone keeps the tag from the quick way.
    other = html.replace("<a ", "<area ")

    assert links_in(html) == links_in(other)
    assert tracked(html).replace("<a ", "<area ") == tracked(other)
