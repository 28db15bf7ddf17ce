"""The command `chatnb`: the main job shown, and the upkeep of a store by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatnb.errors import ChatnbError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["main", "parser"]

_STORE = "The store's address; without it CHATNB_STORE, then one file for you."


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    top = argparse.ArgumentParser(prog="chatnb", description="LLM conversations as a first-class thing in a notebook.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "demo", help="Run a %%chat session in a real kernel on the offline model, and print its history."
    )
    doctor = commands.add_parser("doctor", help="Look for what is wrong with a store, and say what to do.")
    doctor.add_argument("--store", help=_STORE)
    sessions = commands.add_parser("sessions", help="List your sessions, newest first.")
    sessions.add_argument("--deleted", action="store_true", help="Also those that were deleted.")
    sessions.add_argument("--user", help="Another user's.")
    sessions.add_argument("--everybody", action="store_true", help="Every user's.")
    _add_table_options(sessions)
    sql = commands.add_parser("sql", help="Print the result of one SELECT over the histories.")
    sql.add_argument("query", help="One SELECT in DuckDB's SQL, as in 'SELECT name, message_count FROM sessions'.")
    _add_table_options(sql)
    init = commands.add_parser("init", help="Make a store's tables ahead of time, for accounts that may not.")
    init.add_argument("--store", help=_STORE)
    return top


def _add_table_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--store", help=_STORE)
    command.add_argument("--format", choices=("table", "csv", "json"), default="table", help="How to print (table).")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error is one line on standard error and exit status 1."""
    options = parser().parse_args(arguments)
    try:
        commands = {"demo": _demo, "doctor": _doctor, "init": _init, "sessions": _sessions, "sql": _sql}
        return commands[options.command](options)
    except ChatnbError as error:
        print(f"chatnb: {error}", file=sys.stderr)
        return 1


def _demo(_: argparse.Namespace) -> int:
    from chatnb import showcase

    showcase.run(sys.stdout)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from chatnb.doctor import examine
    from chatnb.stores.opening import open_store

    with open_store(options.store) as store:
        findings = examine(store)
    for finding in findings:
        print(finding)
    return int(any(finding.level == "problem" for finding in findings))


def _sessions(options: argparse.Namespace) -> int:
    from chatnb.frames import ME, sessions

    user = None if options.everybody else options.user or ME
    data = sessions(user=user, deleted=options.deleted, store=options.store)
    if options.format == "table":
        names = ["name", "message_count", "last_message_at", "model", "tags", "id"]
        data = data[[*(["user_id"] if user is None else []), *names]]
    _print(data, options.format)
    return 0


def _sql(options: argparse.Namespace) -> int:
    from chatnb.frames import sql

    _print(sql(options.query, store=options.store), options.format)
    return 0


def _print(data: pd.DataFrame, how: str) -> None:
    """A table on standard output; what a model wrote cannot move the terminal's cursor."""
    for place, kind in enumerate(data.dtypes):
        if kind.kind == "O":
            column = data.iloc[:, place]
            data.isetitem(place, column.map(lambda value: value.hex() if isinstance(value, bytes) else value).array)
    if how == "csv":
        data.to_csv(sys.stdout, index=False)
    elif how == "json":
        print(data.to_json(orient="records", date_format="iso", date_unit="us", force_ascii=False, indent=2))
    elif data.empty:
        print("No rows: " + ", ".join(map(str, data.columns)))
    else:
        text = data.to_string(index=False, max_colwidth=80)
        print("".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text))


def _init(options: argparse.Namespace) -> int:
    from chatnb.stores.opening import open_store

    with open_store(options.store) as store:
        store.recover(look=True)
        print(f"{store.url} is ready.")
    return 0
