"""Values in prompts: `{{ expr }}` becomes what the Python expression gives; everything else stays as it is."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chatnb.errors import BadInput, nearest

__all__ = ["Hole", "fill", "holes", "text_of", "value_of"]

_OPENING = re.compile(r"\{\{")
_LONGEST = 2_000
"""How many characters an expression has at most, so that long texts with many braces are read at once."""

_TRIES = 8
"""How many closing braces, and how many colons, may be inside an expression and its format."""

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

    >>> [hole.expression for hole in holes("a {{ x }} {b} {% c %} {{ y:.2f }} {{ no python }}")]
    ['x', 'y']
    """
    place = 0
    while (opening := _OPENING.search(text, place)) is not None:
        place = opening.end()
        for end in _ends(text, place):
            parsed = _split(text[place:end])
            if parsed is not None:
                yield Hole(opening.start(), end + 2, *parsed)
                place = end + 2
                break


def _ends(text: str, start: int) -> Iterator[int]:
    """Where the expression that begins at `start` may end: at the next }}, or a later one while a bracket or a
    quotation is open, as in a dict of dicts."""
    tries = 0
    end = text.find("}}", start, start + _LONGEST)
    while end != -1 and tries < _TRIES:
        if text.startswith("}}}", end):  # of three the last two are ours, as in {{ {'a': 1}}}
            yield end + 1
        yield end
        if not _is_open(text[start:end]):
            return
        tries += 1
        end = text.find("}}", end + 1, start + _LONGEST)


def _is_open(code: str) -> bool:
    """Whether a bracket or a quotation that began in this piece of code goes on after it."""
    quote, depth = "", 0
    for sign in code:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
    return bool(quote) or depth > 0


def _split(inside: str) -> tuple[str, str] | None:
    """An expression and its format; None when there is no expression."""
    if _is_expression(inside):
        return inside.strip(), ""
    colons = [found.start() for found in re.finditer(":", inside)]
    for colon in reversed(colons[-_TRIES:]):
        if _is_expression(inside[:colon]):
            return inside[:colon].strip(), inside[colon + 1 :].strip()
    return None


def _is_expression(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of text that may not be meant as code
            ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the last two: brackets nested too deep
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
