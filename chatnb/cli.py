"""The command `chatnb`: the main job shown, and the upkeep of a store by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from chatnb.errors import ChatnbError

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    top = argparse.ArgumentParser(prog="chatnb", description="LLM conversations as a first-class thing in a notebook.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "demo", help="Run a %%chat session in a real kernel on the offline model, and print its history."
    )
    doctor = commands.add_parser("doctor", help="Look for what is wrong with a store, and say what to do.")
    doctor.add_argument("--store", help="The store's address; without it CHATNB_STORE, then one file for you.")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error is one line on standard error and exit status 1."""
    options = parser().parse_args(arguments)
    try:
        return {"demo": _demo, "doctor": _doctor}[options.command](options)
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
