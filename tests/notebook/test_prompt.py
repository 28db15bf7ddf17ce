"""Values in prompts: what is an expression, and that everything else is sent as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatnb.errors import BadInput
from chatnb.notebook.prompt import fill, holes

NAMES: dict[str, object] = {"x": 2.5, "d": {"a:b": 1}, "name": "Alice", "nested": {"a": {"b": 3}}}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ x }} and {{name}}", "2.5 and Alice"),
        ("{{ x:.2f }} {{ x:>6 }}", "2.50    2.5"),
        ("{{ x if x else 0 }}", "2.5"),
        ("{{ d['a:b'] }}", "1"),
        ("{{ {'a': {'b': 1}} }}", "{'a': {'b': 1}}"),
        ("{{ {'a': 1}}}", "{'a': 1}"),
        ("{{ '}}' }}", "}}"),
        ("{{ [n for n in (1, 2)] }}", "[1, 2]"),
        ("{{ (lambda n: n + 1)(1) }}", "2"),
        ("{{\n  max(1,\n      2)\n}}", "2"),
    ],
)
def test_an_expression_gives_its_value(text: str, filled: str) -> None:
    assert fill(text, NAMES) == filled


@pytest.mark.parametrize(
    "text",
    [
        "{x} {% if x %} {# note #} {{}} {{ }}",
        r"\frac{{\bf x}}{{\it y}}",
        "{{#if x}}\nname\n{{/if}}",
        "{{ no python }} {{ don't }}",
        "{{ x",
        "x }}",
        '{"a": {"b": 1}}',
        r"{{ '\d' + }}",
    ],
)
def test_what_is_no_expression_is_sent_as_it_is(text: str) -> None:
    assert fill(text, NAMES) == text


@given(st.text(alphabet="{} xy:'\"(\n"))
def test_whatever_is_written_only_its_expressions_are_replaced(text: str) -> None:
    place = 0
    for hole in holes(text):
        assert place <= hole.start < hole.end <= len(text)
        assert text[hole.start : hole.start + 2] == "{{" and text[hole.end - 2 : hole.end] == "}}"
        assert hole.expression in text[hole.start : hole.end]
        place = hole.end


@pytest.mark.parametrize(
    "piece", [r"\frac{{\bf x}} ", "{{#if x}} y: {{/if}}\n", "{{ f( }} ", "{{ a b ", "{{ it's: }} "]
)
def test_a_long_text_full_of_braces_is_read_at_once(piece: str) -> None:
    began = time.process_time()
    assert list(holes(piece * 2_000)) == []
    assert time.process_time() - began < 3


def test_a_name_that_is_not_there_is_one_sentence_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"the notebook has no 'nane'\. Did you mean 'name'\?") as raised:
        fill("{{ nane }}", NAMES)
    assert "\n" not in str(raised.value)
    with pytest.raises(BadInput, match="KeyError"):
        fill("{{ d['c'] }}", NAMES)
    with pytest.raises(BadInput, match="Mend the format"):
        fill("{{ name:.2f }}", NAMES)
