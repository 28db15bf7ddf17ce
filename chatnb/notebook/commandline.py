"""What `%chat` takes: its commands, their options, and the help that is made from them."""

from __future__ import annotations

import argparse
from typing import NoReturn

from chatnb.errors import BadInput, nearest
from chatnb.notebook.words import complaint, split

__all__ = ["help_text", "parsed", "parser"]


class _Parser(argparse.ArgumentParser):
    """Says one sentence in place of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        commands = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        options = [
            name for action in commands for one in action.choices.values() for name in one._option_string_actions
        ]
        raise complaint(self.prog, message, [*self._option_string_actions, *options], "%chat help")


def parser() -> argparse.ArgumentParser:
    """The parser of everything that `%chat` takes."""
    top = _Parser(prog="%chat", add_help=False)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def add(name: str, says: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=says, add_help=False)

    ls = add("ls", "List sessions, newest first, as a DataFrame.")
    ls.add_argument("text", nargs="?", help="Only names that contain this.")
    ls.add_argument("--tag", help="Only sessions with this tag.")
    ls.add_argument("--deleted", action="store_true", help="Those that were deleted.")
    ls.add_argument("--all", action="store_true", help="Every project's.")
    ls.add_argument("-n", "--limit", type=int, default=100, help="How many (100).")
    show = add("show", "Show a session's current history.")
    show.add_argument("session", nargs="?", help="Its name or id; without one, the current session.")
    show.add_argument("-n", "--last", type=int, help="Only the newest N turns.")
    use = add("use", "Make a session the current one.")
    use.add_argument("session", help="Its name or id.")
    new = add("new", "Make a session and use it.")
    new.add_argument("name", nargs="?", help="Its name.")
    new.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="As for set.")
    set_ = add("set", "Change the current session: name, model, tags, system_prompt, max_history_messages, …")
    set_.add_argument("settings", nargs="+", metavar="KEY=VALUE", help="An empty value takes a setting away.")
    set_.add_argument("--session", help="Another session.")
    _add_rm(add("rm", "Delete sessions; restore brings them back."))
    restore = add("restore", "Bring a deleted session back.")
    restore.add_argument("session", help="Its name or id.")
    fork = add("fork", "Go on from here in a new session, and use it; the old one stays as it is.")
    fork.add_argument("name", nargs="?", help="The new session's name.")
    fork.add_argument("--at", type=int, metavar="SEQ", help="Share the first SEQ messages only.")
    fork.add_argument("--session", help="Fork another session than the current one.")
    undo = add("undo", "Take the newest turns back; they stay as a branch.")
    undo.add_argument("turns", nargs="?", type=int, default=1, help="How many (1).")
    retry = add("retry", "Ask the newest question again.")
    retry.add_argument("-m", "--model", help="Ask another model.")
    add("continue", "Go on with a turn that was interrupted.")
    branches = add("branches", "List the ways the session went, or go back to one.")
    branches.add_argument("branch", nargs="?", help="The id (or its end) of a branch to go back to.")
    add("browse", "Search, read and look after sessions in widgets.")
    search = add("search", "Find messages in every session, the best first, as a DataFrame.")
    search.add_argument("words", nargs="+", metavar="TEXT", help='Words, "words in a row" in quotes, or pref*.')
    search.add_argument("-n", "--limit", type=int, default=20, help="How many messages (20).")
    export = add("export", "Write the current session, or others, to a file: .jsonl, .parquet, .md or .ipynb.")
    export.add_argument("words", nargs="+", metavar="[SESSION …] PATH", help="The sessions, then the file.")
    export.add_argument("--all", action="store_true", help="Every session of yours.")
    export.add_argument("--format", help="The file's format; 'openai' is for fine-tuning.")
    export.add_argument("--overwrite", action="store_true", help="Replace a file that is there.")
    import_ = add("import", "Take in a file: ours, a notebook, llm's logs, ChatGPT's or Claude's data export.")
    import_.add_argument("path", metavar="PATH", help="A file, folder or ZIP archive.")
    import_.add_argument("--format", help="The file's format; without it, found out.")
    add("doctor", "Look for what is wrong with the store, and say what to do.")
    help_ = add("help", "List the commands, or one command's options.")
    help_.add_argument("about", nargs="?", metavar="COMMAND", help="The command.")
    return top


def _add_rm(rm: argparse.ArgumentParser) -> None:
    rm.add_argument("sessions", nargs="*", metavar="SESSION", help="Names or ids.")
    rm.add_argument("--older-than", metavar="AGE", help="Those not used for this long, as in 90d, 12h or 2w.")
    rm.add_argument("--tag", help="Those with this tag.")
    rm.add_argument("--all", action="store_true", help="Every project's, not only this one's.")
    rm.add_argument("--expired", action="store_true", help="Those past their time.")
    rm.add_argument("--dry-run", action="store_true", help="Only list them.")
    rm.add_argument("--forever", action="store_true", help="Remove them for good; nothing brings them back.")


def parsed(line: str) -> argparse.Namespace:
    """The command of a `%chat` line with its options.

    Raises
    ------
    BadInput
        When it is none; the sentence names the nearest.
    """
    words = split(line)
    top = parser()
    known = _commands(top).choices
    if words and words[0] not in known:
        raise BadInput(
            f"%chat has no command {words[0]!r}.{nearest(words[0], known)} To ask something, write %%chat (two "
            "percent signs) and the question below it; %chat help lists the commands."
        )
    return top.parse_args(words)


def help_text(about: str | None = None) -> str:
    """Every command with its arguments, or one command's options with what they do, as text.

    Raises
    ------
    BadInput
        When there is no such command.
    """
    commands = _commands(parser())
    says = {action.dest: str(action.help) for action in commands._choices_actions}
    if about is not None:
        if about not in says:
            raise BadInput(f"%chat has no command {about!r}.{nearest(about, says)} %chat help lists the commands.")
        return f"{_shown_help(commands.choices[about])}\n\n{says[about]}"
    lines = ["%chat", "    The status: the current session, the model, the store."]
    for name, sub in commands.choices.items():
        lines += [" ".join(sub.format_usage().removeprefix("usage:").split()), f"    {says[name]}"]
    return "\n".join(lines)


def _commands(top: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    return next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))


def _shown_help(command: argparse.ArgumentParser) -> str:
    return command.format_help().removeprefix("usage:").strip()
