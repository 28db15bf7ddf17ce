"""The magics: `%%chat`, `%chat`, `%%chatnb`, `%chatsql`. Declared here; done elsewhere, imported at the first use."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from textwrap import indent
from typing import Any

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Bool, Enum, Unicode

from chatnb.errors import ChatnbError
from chatnb.notebook.words import complaint, split
from chatnb.settings import default_user

__all__ = ["ChatMagics", "load", "unload"]

NAMES = ("chat", "chatnb")
"""What the cell magic is called; the second is there for when another extension owns the first."""

_WARM = (
    "duckdb",
    "pydantic_ai.messages",
    "pydantic_ai.models",
    "pydantic_ai.agent",
    "chatnb.notebook.cell",
    "chatnb.notebook.commands",
    "chatnb.agents.demo",
    "pandas",
)
"""What the first cells need, in pieces that each take a moment."""

_WARM_AFTER = 0.1
"""Seconds between two pieces, in which cells that wait go first."""


@magics_class
class ChatMagics(Magics):
    """LLM conversations in cells. `%config ChatMagics` lists these settings."""

    model = Unicode("", help="The model of sessions that name none, such as openai:gpt-5.").tag(config=True)
    store = Unicode("", help="The store's address; empty is CHATNB_STORE, then one file for you.").tag(config=True)
    user = Unicode("", help="Whose sessions; empty is JUPYTERHUB_USER, then your login name.").tag(config=True)
    rerun = Enum(("auto", "append", "replace"), "auto", help="What running a cell again does to its own turn.").tag(
        config=True
    )
    debug = Bool(False, help="Show the whole traceback of an error.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self.state: Any = None

    @property
    def owner(self) -> str:
        """Whose sessions these are."""
        return self.user or default_user()

    @magic_arguments("%chat")
    @argument("session", nargs="?", help="The session's name or id; without one, this kernel's or this notebook's.")
    @argument("-m", "--model", help="The model, as openai:gpt-5, ollama:llama3 or demo (offline, needs no key).")
    @argument("-a", "--agent", help="The name of a PydanticAI Agent of this notebook, which answers.")
    @argument("--deps", metavar="NAME", help="The name of the object that the agent gets as its dependencies.")
    @argument("-s", "--system", help="The system prompt; in quotes when it has spaces.")
    @argument("-n", "--max", type=int, help="Send the newest MAX user and assistant messages at most.")
    @argument("-o", "--output", metavar="NAME", help="Bind the answer to this name.")
    @argument(
        "--max-requests", type=int, metavar="N", help="Stop after N requests to the model; %%chat continue goes on."
    )
    @argument("--dry-run", action="store_true", help="Show exactly what would be sent, and send nothing.")
    @argument("--append", action="store_true", help="Add a turn, also when this cell has one already.")
    @argument("--replace", action="store_true", help="Take this cell's turn back first, also when its text changed.")
    @argument(
        "--no-store", action="store_true", help="Neither read nor write the store: the model sees this prompt alone."
    )
    @argument("--raw", action="store_true", help="Send {{ }} as it is.")
    @argument("--temperature", type=float, metavar="T", help="The model's temperature.")
    @argument(
        "--opt",
        action="append",
        default=[],
        metavar="K=V",
        help="Another model setting, as in --opt seed=1; may be given several times. A value may be JSON.",
    )
    @line_cell_magic
    def chat(self, line: str, cell: str | None = None) -> object:
        """Ask a model in a session whose history it sees; the cell's text is the prompt.

        `{{ expression }}` in the prompt is a Python expression of the notebook, with an
        optional format as in `{{ x:.2f }}`. Options hold for their turn; those of a
        session's first turn become its settings. `%chat` alone, and `%chat COMMAND`, look
        after sessions; the commands are below.
        """
        return self._guarded(lambda: self._line(line) if cell is None else self._cell(line, cell))

    async def achat(self, line: str, cell: str) -> object:
        """`%%chat` on the kernel's own event loop: a cell that is one `%%chat` is rewritten to await this."""
        try:
            work = import_module("chatnb.notebook.cell")
            return await work.ask(self, self.parsed(line), cell)
        except ChatnbError as error:
            raise self._shown(error) from error.__cause__

    async def achat_line(self, line: str) -> object:
        """`%chat retry` and `%chat continue` on the kernel's own event loop."""
        try:
            return await import_module("chatnb.notebook.commands").ask_again(self, line)
        except ChatnbError as error:
            raise self._shown(error) from error.__cause__

    @no_var_expand
    @line_cell_magic
    def chatsql(self, line: str, cell: str | None = None) -> object:
        """One SELECT over the histories, as a DataFrame: `%chatsql SELECT …`, or `%%chatsql [-o NAME]` with a cell.

        There are sessions, branches, messages, turns, tool_calls, files, history and usage_daily.
        `{{ expression }}` is a value of the notebook, bound and never pasted.
        """
        return self._guarded(lambda: import_module("chatnb.notebook.sql").run(self, line, cell))

    def parsed(self, line: str) -> argparse.Namespace:
        """The options of a `%%chat` line, without the quotes around them."""
        words = split(line)
        try:
            return self.chat.parser.parse_args(words)  # type: ignore[no-any-return]
        except UsageError as error:
            raise complaint("%%chat", str(error), self.chat.parser._option_string_actions, "%%chat?") from None

    def _line(self, line: str) -> object:
        return import_module("chatnb.notebook.commands").run(self, line)

    def _cell(self, line: str, cell: str) -> object:
        return import_module("chatnb.notebook.cell").ask_now(self, self.parsed(line), cell)

    def _guarded(self, work: Any) -> object:
        try:
            return work()
        except ChatnbError as error:
            raise self._shown(error) from error.__cause__

    def _shown(self, error: ChatnbError) -> Exception:
        """The error as it is to be shown: one line, or the whole traceback with `debug`."""
        if self.debug:
            return error.with_traceback_shown()
        return error


def help_text() -> str:
    """What `%%chat?` and `%chat?` show: the options of the one, and the commands of the other.

    The commands are imported only for this, so that loading the extension stays light.
    """
    commands = import_module("chatnb.notebook.commandline").help_text()
    said = str(ChatMagics.chat.__doc__).replace("<K=V>", "K=V  ").rstrip()
    return f"{said}\n\ncommands of %chat:\n{indent(commands, '  ')}\n"


ChatMagics.chat.getdoc = help_text  # IPython asks an object for this before it looks at its docstring


def rewritten(lines: list[str]) -> list[str]:
    """A cell that is one `%%chat`, or one `%chat retry|continue`, awaits it on the kernel's own event loop.

    What an agent awaited in another cell (an HTTP client's connections, a database pool) belongs to that loop and
    fails on any other. What another magic runs (`%%time`, `%%capture`) cannot await and stays as it is.
    """
    if _inside_a_cell():
        return lines
    for name in filter(_is_ours, NAMES):
        start = f"get_ipython().run_cell_magic({name!r}, "
        if len(lines) == 1 and lines[0].startswith(start):
            return [_awaiting("achat", lines[0][len(start) :])]
        start = f"get_ipython().run_line_magic({name!r}, "
        if len(lines) == 1 and lines[0].startswith((f"{start}'retry", f"{start}'continue")):
            return [_awaiting("achat_line", lines[0][len(start) :])]
    return lines


def _inside_a_cell() -> bool:
    """Whether a cell's code is running now, so that what is transformed is not a cell itself."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is InteractiveShell.run_code.__code__:
            return True
    return False


def _is_ours(name: str) -> bool:
    """Whether the cell magic of this name is chatnb's; another extension may own it, or have taken it since."""
    shell = get_ipython()
    magic = shell.magics_manager.magics["cell"].get(name) if shell is not None else None
    return isinstance(getattr(magic, "__self__", None), ChatMagics)


def _awaiting(method: str, arguments: str) -> str:
    return f"await get_ipython().magics_manager.registry['ChatMagics'].{method}({arguments}"


def load(shell: InteractiveShell) -> None:
    """Register the magics and warm up what the first cell needs, in the background."""
    cells = shell.magics_manager.magics["cell"]
    taken = cells.get("chat")
    owner = getattr(getattr(taken, "__self__", taken), "__module__", None) or type(taken).__module__
    foreign = taken is not None and not str(owner).startswith("chatnb")
    magics = ChatMagics(shell)
    former = {kind: shell.magics_manager.magics[kind].get("chat") for kind in ("line", "cell")}
    shell.register_magics(magics)
    for kind in ("line", "cell"):
        table = shell.magics_manager.magics[kind]
        table["chatnb"] = table["chat"]
        if foreign and former[kind] is not None:
            table["chat"] = former[kind]
    if foreign:
        print(f"%%chat belongs to {owner}; chatnb is here as %%chatnb.", file=sys.stderr)
    transformers = shell.input_transformers_post
    if rewritten not in transformers:
        transformers.append(rewritten)
    _warm_up()


def unload(shell: InteractiveShell) -> None:
    """Take the magics away."""
    for kind in ("line", "cell"):
        table = shell.magics_manager.magics[kind]
        for name in (*NAMES, "chatsql"):
            if isinstance(getattr(table.get(name), "__self__", None), ChatMagics):
                del table[name]
    shell.magics_manager.registry.pop("ChatMagics", None)
    if rewritten in shell.input_transformers_post:
        shell.input_transformers_post.remove(rewritten)


def _warm_up(names: Sequence[str] = _WARM) -> None:
    """Import what the first cell needs while the kernel has nothing to do, a piece at a time.

    In the kernel's own thread: two threads that import the same packages can each find the other's half loaded.
    """
    with suppress(RuntimeError):  # no event loop runs, as in a terminal: the first cell imports what it needs
        asyncio.get_running_loop().call_later(_WARM_AFTER, _warm_up_one, names)


def _warm_up_one(names: Sequence[str]) -> None:
    with suppress(ImportError):  # the cell that needs it will say what is missing
        import_module(names[0])
    if names[1:]:
        _warm_up(names[1:])
