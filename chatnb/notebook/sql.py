"""`%chatsql`: one SELECT over the histories, with the notebook's values bound."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from keyword import iskeyword
from typing import TYPE_CHECKING, NoReturn

import duckdb

from chatnb.errors import BadInput
from chatnb.frames import sql
from chatnb.notebook.prompt import Hole, holes, value_of
from chatnb.notebook.state import Magics, state_of
from chatnb.notebook.words import complaint, split

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["bound", "run"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise complaint("%%chatsql", message, self._option_string_actions, "%chatsql?")


def run(magics: Magics, line: str, cell: str | None) -> pd.DataFrame:
    """Run the query of a line or of a cell; `-o NAME` also binds the result."""
    state = state_of(magics)
    output, query = None, line
    if cell is not None:
        output, query = _output(line), cell
    if not query.strip():
        raise BadInput("There is no query. Write one SELECT, as in %chatsql SELECT name, message_count FROM sessions.")
    text, params = bound(query, state.shell.user_ns)
    frame = sql(text, store=state.store, **params)
    if output:
        state.shell.user_ns[output] = frame
    return frame


def _output(line: str) -> str | None:
    parser = _Parser(prog="%%chatsql", add_help=False)
    parser.add_argument("-o", "--output")
    output: str | None = parser.parse_args(split(line)).output
    if output is not None and (not output.isidentifier() or iskeyword(output)):
        raise BadInput(f"-o {output!r} is not a name. Give one, as in -o answer.")
    return output


def bound(query: str, names: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The query with a parameter in the place of each `{{ expr }}`, and the parameters' values.

    Parameters
    ----------
    query
        The query. An expression in a comment stays as it is.
    names
        The notebook's names.

    Raises
    ------
    BadInput
        When an expression fails, or stands in quotes, where SQL takes no value.
    """
    built, place = "", 0
    params: dict[str, object] = {}
    for hole in holes(query):
        name = f"$value_{len(params) + 1}"
        before = built + query[place : hole.start]
        start, kind = duckdb.tokenize(before + name)[-1]
        if kind == duckdb.token_type.comment:
            continue
        if start < len(before.encode()):  # the text before it is not closed
            shown = query[hole.start : hole.end]
            raise BadInput(f"{shown} stands in quotes. Take them away: the value is bound, whatever is in it.")
        params[name[1:]] = _plain(hole, value_of(hole, names))
        built, place = before + name, hole.end
    return built + query[place:], params


def _plain(hole: Hole, value: object) -> object:
    """A value as DuckDB binds it: arrays, columns and sets are lists, a format gives a text."""
    if hole.format:
        try:
            return format(value, hole.format)
        except (TypeError, ValueError) as error:
            raise BadInput(f"{{{{ {hole.expression}:{hole.format} }}}}: {error}. Mend the format.") from error
    if hasattr(value, "columns"):
        raise BadInput(f"{{{{ {hole.expression} }}}} is a table. Bind one of its columns, or a value.")
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else value
