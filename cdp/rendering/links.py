"""Puts tracking into finished HTML: links that lead through us, and a pixel.

After rendering, as a link may come from the data. By one pass of a regular expression, since a
parser costs two to sixty times as much and would write the author's HTML anew. Every alternative
takes all that it has looked at, also when the HTML is broken: the time stays linear, whatever a
template sends here. How nearly all links are written has an alternative of its own, `plain`, that
says the same as the next one at a third of its price.

A link stays as it is if it

- is no `http:` or `https:` (`mailto:`, `tel:`, `#section`, a relative one),
- has the attribute `data-cdp-no-track`,
- has `unsubscribe` among the words of its `rel` or `class`,
- stands in a comment, which includes Outlook's conditional ones, or in `<script>`, `<style>`,
  `<textarea>` or `<title>`.
"""

import html as html_text
import re
from typing import Final

from cdp.ports.renderer import Tracker

NO_TRACK_ATTRIBUTE: Final = "data-cdp-no-track"
UNSUBSCRIBE_WORD: Final = "unsubscribe"

# Attributes that can be passed over without a look at each.
_OTHERS: Final = r"""(?:\s++ (?!href|data-cdp)[a-z-]++="(?![^"]*?unsubscribe)[^"]*+")*+"""
_PIECE: Final = re.compile(
    rf"""<(?=!-|/b|s[ct]|t[ei]|a[\s/r]) (?:
        a{_OTHERS}\s++href="(?P<plain>https?://[^"]*+)"{_OTHERS}\s*+>
      | a(?:rea)?(?=[\s/]) (?P<attributes>(?:[^>"']++|"[^"]*+"|'[^']*+')*+) (?P<end>>)?
      | !--(?: -?> | .*?(?:--!?>|\Z) )
      | (?P<body>/body)(?=[\s/>])
      | (?P<raw>script|style|textarea|title)(?=[\s/>]) .*? (?:</(?P=raw)(?=[\s/>])|\Z)
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE: Final = re.compile(
    r"""([^\s"'>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'>]++))?+""",
)
_MARKED: Final = frozenset({"rel", "class"})
_STRIPPED_IN_URLS: Final = str.maketrans("", "", "\t\r\n")
_PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:block;border:0">'

_Link = tuple[int, int, str]
"""Where the value of a tag's `href` begins and ends, quotes included, and its URL."""


def decorate(html: str, *, track: Tracker | None, pixel_url: str | None) -> str:
    """The same HTML with tracking.

    Args:
        track: makes what stands in place of the links' URLs; without it links stay.
        pixel_url: of the image that tells of an opening, put before `</body>` or at the end;
            without it there is none.
    """
    links, body_end = _found(html)
    edits = []
    if track is not None and links:
        edits = [
            (start, end, f'"{url}"')
            for (start, end, _), url in zip(links, track([url for *_, url in links]), strict=True)
            if url is not None
        ]
    if pixel_url is not None:
        edits.append((body_end, body_end, _PIXEL.format(html_text.escape(pixel_url))))
        edits.sort()
    pieces: list[str] = []
    position = 0
    for start, end, text in edits:
        pieces += (html[position:start], text)
        position = end
    pieces.append(html[position:])
    return "".join(pieces)


def links_in(html: str) -> list[str]:
    """The URLs that `decorate` hands to `track`, in its order, repeated ones too."""
    return [url for *_, url in _found(html)[0]]


def _found(html: str) -> tuple[list[_Link], int]:
    """The links that are tracked, in order, and where the body ends."""
    links: list[_Link] = []
    body_end = len(html)
    for found in _PIECE.finditer(html):
        kind = found.lastgroup
        if kind == "plain":
            start, end = found.span("plain")
            links.append((start - 1, end + 1, _url(html[start:end])))
        elif kind == "end":
            if (link := _link(found)) is not None:
                links.append(link)
        elif kind == "body":
            body_end = found.start()
    return links, body_end


def _link(found: re.Match[str]) -> _Link | None:
    """The link of a tag that is written in another way, if it is tracked."""
    href = None
    for attribute in _ATTRIBUTE.finditer(found.string, *found.span("attributes")):
        name = attribute[1].lower()
        if name == "href":
            # Browsers take the first of two.
            href = href or attribute
        elif name == NO_TRACK_ATTRIBUTE or (name in _MARKED and _is_unsubscribe(attribute[2])):
            return None
    if href is None or href[2] is None:
        return None
    url = _url(_unquoted(href[2]))
    if not url[:8].lower().startswith(("http://", "https://")):
        return None
    return href.start(2), href.end(2), url


def _url(value: str) -> str:
    ampersands = value.count("&")
    if ampersands == value.count("&amp;"):
        # Nearly always so, and far cheaper than looking for every named entity.
        value = value.replace("&amp;", "&") if ampersands else value
    else:
        value = html_text.unescape(value)
    if not value.isprintable():
        # As browsers do: a URL may be broken over lines.
        value = value.translate(_STRIPPED_IN_URLS)
    return value.strip()


def _is_unsubscribe(value: str | None) -> bool:
    return value is not None and UNSUBSCRIBE_WORD in _unquoted(value).lower().split()


def _unquoted(value: str) -> str:
    return value[1:-1] if value[0] in "\"'" else value
