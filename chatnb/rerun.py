"""What running a cell again means: add a turn, or take the cell's own turn back first. A pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chatnb.records import Turn

__all__ = ["Cell", "Rerun", "RerunMode", "decide"]

RerunMode = Literal["auto", "append", "replace"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The cell that asks. `notebook` is its path, `source` its body; any of them may be unknown."""

    notebook: str | None = None
    cell_id: str | None = None
    source: str | None = None
    execution_count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What to do: add a turn (`rewind_seq` None), or go back to `rewind_seq` and leave `turns` as a branch.

    `note` is a sentence for the closing line, or ''.
    """

    rewind_seq: int | None = None
    turns: tuple[Turn, ...] = ()
    note: str = ""


def decide(
    own: Turn | None,
    first_seq: int,
    later: Sequence[Turn],
    *,
    source: str | None,
    user: str,
    notebook: str | None,
    mode: RerunMode = "auto",
) -> Rerun:
    """Decide what a cell's run does to the history.

    Parameters
    ----------
    own
        The cell's newest turn in the current history, or None.
    first_seq
        The place of that turn's first message.
    later
        The turns after it.
    source
        The cell's body now.
    user, notebook
        Who asks, and from where: other people's and other notebooks' turns are never taken back.
    mode
        'auto' replaces an unchanged cell's turn and edits a changed one that later turns follow; 'append' and
        'replace' force either.
    """
    if own is None or mode == "append":
        return Rerun()
    unchanged = own.cell_source == source
    if mode == "auto" and not unchanged and not later:
        return Rerun()
    others = [turn for turn in later if turn.notebook != notebook or turn.user_id != user]
    if others:
        places = sorted({_whence(turn) for turn in others})
        return Rerun(note=f"added at the end, since turns from {', '.join(places)} came after this cell's")
    return Rerun(rewind_seq=first_seq - 1, turns=(own, *later))


def _whence(turn: Turn) -> str:
    return turn.notebook.rsplit("/", 1)[-1] if turn.notebook else "outside a notebook"
