"""Values in prompts: `{{ expr }}` becomes what the Python expression gives; everything else stays as it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chatnb.errors import BadInput, nearest

__all__ = ["Hole", "fill", "holes", "text_of", "value_of"]

_OPENING = re.compile(r"\{\{")
_ROWS = 60
"""How many rows of a table stand in a prompt before its middle is left out."""


@dataclass(frozen=True)
class Hole:
    """One `{{ expr:format }}`: where it stands in the text, its expression and its format (or '')."""

    start: int
    end: int
    expression: str
    format: str


def holes(text: str) -> Iterator[Hole]:
    """Every `{{ expr }}` whose inside is a Python expression, with or without a format.

    >>> [hole.expression for hole in holes("a {{ x }} {b} {% c %} {{ y:.2f }} {{ not python }}")]
    ['x', 'y']
    """
    place = 0
    while (opening := _OPENING.search(text, place)) is not None:
        place = opening.end()
        end = text.find("}}", place)
        while end != -1:  # an expression may hold }} itself, as in a dict of dicts
            # Of three closing braces the last two are ours, as in {{ {'a': 1} }} written without the space.
            close = end + 1 if text.startswith("}}}", end) and _split(text[place : end + 1]) else end
            parsed = _split(text[place:close])
            if parsed is not None:
                yield Hole(opening.start(), close + 2, *parsed)
                place = close + 2
                break
            end = text.find("}}", end + 1)


def _split(inside: str) -> tuple[str, str] | None:
    """An expression and its format; None when there is no expression."""
    if _is_expression(inside):
        return inside.strip(), ""
    for colon in reversed([found.start() for found in re.finditer(":", inside)]):
        if _is_expression(inside[:colon]):
            return inside[:colon].strip(), inside[colon + 1 :].strip()
    return None


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return False
    return bool(text.strip())


def text_of(value: object, format_: str = "") -> str:
    """A value as a prompt shows it: its text, or all columns of a table.

    Parameters
    ----------
    value
        Any object.
    format_
        A format as in an f-string.
    """
    if format_:
        return format(value, format_)
    table = getattr(value, "to_string", None)
    if callable(table):
        return str(table(max_rows=_ROWS))
    return str(value)


def fill(text: str, names: Mapping[str, object]) -> str:
    """The text with the values of its expressions.

    Parameters
    ----------
    text
        The prompt.
    names
        The notebook's names.

    Raises
    ------
    BadInput
        When a name is not defined, or an expression fails; the sentence names it.
    """
    pieces, place = [], 0
    for hole in holes(text):
        pieces += [text[place : hole.start], _text(hole, names)]
        place = hole.end
    return "".join([*pieces, text[place:]])


def value_of(hole: Hole, names: Mapping[str, object]) -> object:
    """The value of one expression.

    Raises
    ------
    BadInput
        When a name is not defined, or the expression fails.
    """
    shown = f"{{{{ {hole.expression} }}}}"
    try:
        return eval(compile(hole.expression, shown, "eval"), dict(names))  # the notebook's own code, by its own wish
    except NameError as error:
        name = error.name or hole.expression
        close = nearest(name, (known for known in names if not known.startswith("_")))
        raise BadInput(
            f"{shown}: the notebook has no {name!r}.{close} Define it, or send the text as it is with --raw."
        ) from error
    except Exception as error:
        raise BadInput(
            f"{shown} failed: {type(error).__name__}: {error}. Mend it, or send the text with --raw."
        ) from error


def _text(hole: Hole, names: Mapping[str, object]) -> str:
    value = value_of(hole, names)
    try:
        return text_of(value, hole.format)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{{{{ {hole.expression}:{hole.format} }}}}: {error}. Mend the format.") from error
