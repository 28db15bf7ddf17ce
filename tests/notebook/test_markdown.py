"""What a model says becomes Markdown that holds no HTML of its own, as a CommonMark reader sees it."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from chatnb.notebook.markdown import fenced, literal, safe

READER = MarkdownIt("commonmark", {"html": True})
ATTACKS = [
    "<script>alert(1)</script>",
    "text <img src=x onerror=alert(1)> more",
    "`\n\n<script>alert(1)</script>\n\n`",
    "- ```\n  code\n\nout <script>alert(1)</script>",
    "> ```\n> code\n\n<script>alert(1)</script>",
    "1. ~~~\n   a\n\n<style>*{display:none}</style>",
    "    ```\n\n<script>alert(1)</script>",
    "```html\n<b>\n```\n<script>alert(1)</script>",
    "````\n```\n<i>\n````\n<script>alert(1)</script>",
    "<!-- comment --><![CDATA[x]]><?php ?>",
    "``` a`b\n<script>alert(1)</script>",
    "![x](http://elsewhere/pixel.png) and ![y][r]\n\n[r]: http://elsewhere/p.png",
    "[click](javascript:alert(1)) [click](  JavaScript:alert(1))",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_of_a_models_becomes_html_or_is_fetched(text: str) -> None:
    drawn = READER.render(safe(text)).replace("<span>", "").replace("</span>", "").lower()
    for tag in ("<script", "<img", "<style", "<!--", "<?php", "<![cdata", 'href="javascript'):
        assert tag not in drawn, drawn


def test_code_keeps_every_letter() -> None:
    text = "```html\n<b>$5</b>\n```\nand `<i>$x</i>`"
    assert safe(text) == text


def test_amounts_of_money_are_not_mathematics() -> None:
    assert safe("from $5 to $10") == r"from <span>\$</span>5 to <span>\$</span>10"
    assert safe("so $x^2 + y$ and $$a$$") == "so $x^2 + y$ and $$a$$"


def test_a_line_of_ours_shows_a_name_letter_by_letter() -> None:
    assert READER.render(literal("my_*session*_<b>")) == "<p>my_*session*_&lt;b&gt;</p>\n"


def test_a_block_of_code_cannot_be_left() -> None:
    assert "<script" not in READER.render(fenced("```\n<script>alert(1)</script>"))
