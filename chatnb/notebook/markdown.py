"""Text of models and tools as Markdown that holds no HTML of theirs and loads nothing from elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

__all__ = ["fenced", "folded", "inline_code", "literal", "safe"]

_FENCE = re.compile(r"^( {0,3}|\s*(?:[-*+>]\s*|\d+[.)]\s+)*\s*)(`{3,}(?=[^`]*$)|~{3,})")
_CODE = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n[ \t]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
JOINER = "<\u2060"
"""A tag's beginning with an invisible character after it, for code that another reader may take for text."""
_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!(?:https?://|mailto:)[^\s<>]*>)")
_IMAGE = re.compile(r"!(\[[^\]]*\]\s*(?:\(|\[))")
_MONEY = re.compile(r"(?P<math>\\\$|\$\$.+?\$\$|\$(?=[^\s$])[^$\n]*?(?<=[^\s\\$])\$(?!\d))|\$", re.DOTALL)
"""Math between dollar signs as Pandoc knows it (the first is followed, the last preceded by no space, and no digit
follows), so that "$5 to $10" is money: https://pandoc.org/MANUAL.html#extension-tex_math_dollars"""
_SPECIAL = re.compile(r"([\\`*_{}\[\]~|])")
DOLLAR = r"<span>\$</span>"
"""A dollar sign that is no math: MathJax looks at the page after Markdown has taken the backslash away."""
_SCRIPT_LINK = re.compile(r"(\]\(\s*<?\s*)(?:javascript|data|vbscript):", re.IGNORECASE)


def safe(text: str) -> str:
    """Markdown in which tags show as text, and images (which a browser would fetch) are links.

    Code is left as it is: Markdown shows it letter by letter anyway.

    >>> safe("<b>hi</b> `<b>` ![x](http://a/b.png)")
    '&lt;b>hi&lt;/b> `<b>` [x](http://a/b.png)'
    """
    return "".join(made(piece) for made, piece in _blocks(text))


def _blocks(text: str) -> Iterator[tuple[Callable[[str], str], str]]:
    """The text cut into fenced code and the rest, each with what makes it safe.

    A fence in a list, a quotation or an indented line ends where these end, which takes a whole parser to see.
    """
    fence, made = "", _prose
    piece: list[str] = []
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if not fence and found:
            yield _prose, "".join(piece)
            fence, piece = found[2], [line]
            made = _code if found[1].strip(" ") == "" and len(found[1]) <= 3 else _doubtful
        elif fence and found and found[2].startswith(fence) and not line[found.end() :].strip():
            yield made, "".join([*piece, line])
            fence, made, piece = "", _prose, []
        else:
            piece.append(line)
    yield made, "".join(piece)


def _code(text: str) -> str:
    return text


def _doubtful(text: str) -> str:
    return _TAG.sub(JOINER, text)


def _prose(text: str) -> str:
    pieces: list[str] = []
    place = 0
    for code in _CODE.finditer(text):
        pieces += [_plain(text[place : code.start()]), code[0]]
        place = code.end()
    return "".join([*pieces, _plain(text[place:])])


def literal(text: str) -> str:
    """Text of one line that Markdown and MathJax show letter by letter.

    >>> literal("$0 *x* <b>")
    '<span>\\\\$</span>0 \\\\*x\\\\* &lt;b&gt;'
    """
    return _SPECIAL.sub(r"\\\1", html.escape(text, quote=False)).replace("$", DOLLAR)


def _plain(text: str) -> str:
    text = _TAG.sub("&lt;", text)
    text = _IMAGE.sub(r"\1", text)
    text = _SCRIPT_LINK.sub(r"\1#", text)
    return _MONEY.sub(lambda found: found[0] if found["math"] else DOLLAR, text)


def fenced(text: str, language: str = "") -> str:
    """Text as a code block whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def inline_code(text: str) -> str:
    """Text as HTML code, for a summary line."""
    return f"<code>{html.escape(text)}</code>"


def folded(summary: str, body: str) -> str:
    """A part that is folded away. `summary` is HTML of ours, `body` Markdown."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"
