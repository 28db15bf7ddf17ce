"""The command `chatnb`: the main job shown, and the upkeep of a store by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chatnb.errors import ChatnbError, SessionNotFound, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COMMANDS", "main", "parser"]

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
    export = commands.add_parser("export", help="Write sessions to a file: .jsonl, .parquet, .md or .ipynb.")
    export.add_argument("sessions", nargs="*", metavar="SESSION", help="Names or ids; without one, all of yours.")
    export.add_argument("path", metavar="PATH", help="The file; for Parquet a folder.")
    export.add_argument("--store", help=_STORE)
    export.add_argument("--format", help="The file's format; 'openai' is for fine-tuning.")
    export.add_argument("--overwrite", action="store_true", help="Replace a file that is there.")
    export.add_argument("--user", help="Another user's.")
    export.add_argument("--everybody", action="store_true", help="Every user's.")
    import_ = commands.add_parser(
        "import", help="Take in a file: ours, a notebook, llm's logs, ChatGPT's or Claude's data export."
    )
    import_.add_argument("path", metavar="PATH", help="A file, folder or ZIP archive.")
    import_.add_argument("--store", help=_STORE)
    import_.add_argument("--format", help="The file's format; without it, found out.")
    import_.add_argument("--user", help="Whose sessions they become; without it, whose they were, or yours.")
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
        return COMMANDS[options.command](options)
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
    import pandas as pd

    for place, kind in enumerate(data.dtypes):
        if kind.kind == "O":
            column = data.iloc[:, place]
            shown = [value.hex() if isinstance(value, bytes) else value for value in column]
            data[data.columns[place]] = pd.Series(shown, index=data.index, dtype=object)
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
    from chatnb.stores.sessions import SessionFilter

    with open_store(options.store) as store:
        store.list_sessions(SessionFilter(), limit=0)  # the first look at a store makes its tables
        print(f"{store.url} is ready.")
    return 0


def _export(options: argparse.Namespace) -> int:
    from chatnb import transfer
    from chatnb.settings import default_user
    from chatnb.stores.opening import open_store
    from chatnb.stores.sessions import SessionFilter

    user = None if options.everybody else options.user or default_user()
    with open_store(options.store) as store:
        listed, _ = store.list_sessions(SessionFilter(user=user), limit=1_000_000)
        chosen = listed
        if options.sessions:
            known = {name: one for one in reversed(listed) for name in (one.label, one.id)}  # the newest has a name
            missing = next((ref for ref in options.sessions if ref not in known), None)
            if missing is not None:
                raise SessionNotFound(
                    f"No session named {missing!r}.{nearest(missing, known)} chatnb sessions lists them."
                )
            chosen = [known[ref] for ref in options.sessions]
        print(transfer.export(store, chosen, options.path, options.format, overwrite=options.overwrite))
    return 0


def _import(options: argparse.Namespace) -> int:
    from chatnb import transfer
    from chatnb.stores.opening import open_store

    with open_store(options.store) as store:
        done = transfer.import_(store, options.path, options.format, user=options.user)
    print(done)
    return int(bool(done.problems))


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "demo": _demo, "doctor": _doctor, "export": _export, "import": _import, "init": _init, "sessions": _sessions,
    "sql": _sql,
}  # fmt: skip
"""What each command does."""
