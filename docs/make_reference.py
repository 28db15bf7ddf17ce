"""Writes docs/reference.md from the code: every magic, option, command, setting, table and column."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from chatnb import cli
from chatnb.notebook import commandline
from chatnb.notebook.magics import ChatMagics
from chatnb.settings import ENVIRONMENT
from chatnb.stores import schema

PAGE = Path(__file__).with_name("reference.md")


def page() -> str:
    """The whole page."""
    return "\n".join([*_magics(), *_commands(), *_settings(), *_environment(), *_tables(), *_console()]).rstrip() + "\n"


def _magics() -> Iterator[str]:
    yield "# Reference\n\nMade from the code by `docs/make_reference.py`.\n"
    yield "## `%%chat [session] [options]`\n"
    yield _first_paragraphs(ChatMagics.chat.__doc__ or "")
    yield "\n| option | does |\n|---|---|"
    for action in ChatMagics.chat.parser._actions:
        if action.dest != "help":
            yield f"| {_option(action)} | {_cell((action.help or '').replace('%%', '%'))} |"
    yield "\n`%%chatnb` is the same, and is there also when another extension owns `%%chat`.\n"
    yield "## `%chatsql SELECT …`, `%%chatsql [-o NAME]`\n"
    yield _first_paragraphs(ChatMagics.chatsql.__doc__ or "") + "\n"


def _first_paragraphs(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if line and not line.startswith("::")), 0)
    said = [line for line in lines[start:] if not line.startswith("%chatnb")]
    kept: list[str] = []
    for line in said:
        if line.startswith(("positional arguments", "options:", "Commands")):
            break
        kept.append(line)
    usage = max((n for n, line in enumerate(kept) if line.startswith(("[", "%%chat"))), default=-1)
    return "\n".join(kept[usage + 1 :]).strip()


def _option(action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
    takes_value = action.option_strings and action.nargs != 0
    return f"{names} {action.metavar or action.dest.upper()}" if takes_value else names


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _commands() -> Iterator[str]:
    yield "## `%chat COMMAND`\n\n```text"
    yield commandline.help_text()
    yield "```\n"


def _settings() -> Iterator[str]:
    yield "## `%config ChatMagics`\n\n| setting | default | is |\n|---|---|---|"
    for name, trait in sorted(ChatMagics.class_own_traits(config=True).items()):
        yield f"| `{name}` | `{trait.default_value!r}` | {trait.help} |"
    yield ""


def _environment() -> Iterator[str]:
    yield "## Environment\n\n| variable | says |\n|---|---|"
    for name, says in ENVIRONMENT.items():
        yield f"| `{name}` | {_cell(says)} |"
    yield ""


def _tables() -> Iterator[str]:
    yield "## Tables\n\nAny client of the database may read these. Times are UTC.\n"
    for relation in (*schema.PUBLIC_TABLES, *schema.VIEWS):
        kind = "view" if isinstance(relation, schema.View) else "table"
        yield f"### `{relation.name}` ({kind})\n\n{relation.says}\n\n| column | type | is |\n|---|---|---|"
        for column in relation.columns:
            yield f"| `{column.name}` | {column.type} | {_cell(column.says)} |"
        yield ""


def _console() -> Iterator[str]:
    yield "## `chatnb COMMAND`\n\n| command | does |\n|---|---|"
    top = cli.parser()
    for action in top._actions:
        for choice in getattr(action, "_choices_actions", ()):
            yield f"| `chatnb {choice.dest}` | {_cell((choice.help or '').replace('%%', '%'))} |"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())
