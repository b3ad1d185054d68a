"""Puts tracking into finished HTML: links that lead through us, and a pixel.

After rendering, as a link may come from the data. By one pass of a regular expression, since a
parser costs two to sixty times as much and would write the author's HTML anew. Every alternative
takes all that it has looked at, also when the HTML is broken: the time stays linear, whatever a
template sends here.

A link stays as it is if it

- is no `http:` or `https:` (`mailto:`, `tel:`, `#section`, a relative one),
- has the attribute `data-cdp-no-track`,
- has `unsubscribe` among the words of its `rel` or `class`,
- stands in a comment, which includes Outlook's conditional ones, or in `<script>`, `<style>`,
  `<textarea>` or `<title>`.
"""

import html as html_text
import re
from collections.abc import Callable, Iterator
from typing import Final

NO_TRACK_ATTRIBUTE: Final = "data-cdp-no-track"
UNSUBSCRIBE_WORD: Final = "unsubscribe"

_PIECE: Final = re.compile(
    r"""<(?:
        !--.*?(?:-->|\Z)
      | (?P<raw>script|style|textarea|title)(?=[\s/>]).*?(?:</(?P=raw)(?=[\s/>])|\Z)
      | (?P<body></?body)(?=[\s/>])
      | (?:a|area)(?=[\s/])(?P<attributes>(?:[^>"']++|"[^"]*+"|'[^']*+')*+)(?P<end>>)?
    )""".replace("(?P<body></?body)", "(?P<body>/body)"),
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE: Final = re.compile(
    r"""([^\s"'>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'>]++))?+""",
)
_STRIPPED_IN_URLS: Final = str.maketrans("", "", "\t\r\n")
_PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:block;border:0">'


def decorate(html: str, *, track_url: Callable[[str], str] | None, pixel_url: str | None) -> str:
    """The same HTML with tracking.

    Args:
        track_url: makes the URL to put in place of a link's; without it links stay.
        pixel_url: of the image that tells of an opening, put before `</body>` or at the end;
            without it there is none.
    """
    pieces = []
    position = 0
    body_end = None
    for found in _PIECE.finditer(html):
        if found["body"] is not None:
            body_end = len(pieces), found.start()
        elif track_url is not None and (link := _link(found)) is not None:
            start, end, url = link
            pieces.append(html[position:start])
            pieces.append(f'"{html_text.escape(track_url(url))}"')
            position = end
    pieces.append(html[position:])
    return "".join(pieces)
