"""`%chatsql`: one SELECT over the histories, with the notebook's values bound."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from chatnb.errors import BadInput
from chatnb.frames import sql
from chatnb.notebook.prompt import holes, value_of
from chatnb.notebook.state import state_of
from chatnb.notebook.words import complaint, split

if TYPE_CHECKING:
    import pandas as pd

    from chatnb.notebook.magics import ChatMagics

__all__ = ["run"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise complaint("%%chatsql", message, self._option_string_actions, "%chatsql?")


def run(magics: ChatMagics, line: str, cell: str | None) -> pd.DataFrame:
    """Run the query of a line or of a cell; `-o NAME` also binds the result."""
    state = state_of(magics)
    output, query = None, line
    if cell is not None:
        parser = _Parser(prog="%%chatsql", add_help=False)
        parser.add_argument("-o", "--output")
        output, query = parser.parse_args(split(line)).output, cell
    if not query.strip():
        raise BadInput("There is no query. Write one SELECT, as in %chatsql SELECT name, message_count FROM sessions.")
    pieces: list[str] = []
    params: dict[str, object] = {}
    place = 0
    for number, hole in enumerate(holes(query), start=1):
        name = f"value_{number}"
        params[name] = value_of(hole, state.shell.user_ns)
        pieces += [query[place : hole.start], f"${name}"]
        place = hole.end
    frame = sql("".join([*pieces, query[place:]]), store=state.store, **params)
    if output:
        state.shell.user_ns[output] = frame
    return frame
