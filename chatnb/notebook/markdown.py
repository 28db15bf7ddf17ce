"""Text of models and tools as Markdown that holds no HTML of theirs and loads nothing from elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

__all__ = ["fenced", "folded", "inline_code", "literal", "safe"]

_FENCE = re.compile(r"^\s*(?:[-*+>]\s+|\d+[.)]\s+)*\s*(`{3,}|~{3,})")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
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
    return "".join(piece if code else _prose(piece) for code, piece in _blocks(text))


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """The text cut into fenced code (true) and the rest (false)."""
    fence = ""
    piece: list[str] = []
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if not fence and found:
            if piece:
                yield False, "".join(piece)
            fence, piece = found[1], [line]
        elif fence and found and found[1].startswith(fence) and not line[found.end() :].strip():
            yield True, "".join([*piece, line])
            fence, piece = "", []
        else:
            piece.append(line)
    if piece:
        yield bool(fence), "".join(piece)


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
