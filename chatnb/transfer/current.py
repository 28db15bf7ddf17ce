"""The current history of a whole session, turn by turn, for formats that hold no branches."""

from __future__ import annotations

from itertools import groupby

from pydantic_ai.messages import ModelMessage

from chatnb.formats.pydantic_ai import from_record
from chatnb.records import Message, Turn
from chatnb.stores.copying import Whole

__all__ = ["history", "turns"]


def history(whole: Whole) -> list[Message]:
    """The messages of the current history, oldest first."""
    branches = {branch.id: branch for branch in whole.branches}
    found: list[Message] = []
    branch, last = branches.get(whole.session.branch_id), None
    while branch is not None:
        end = branch.last_seq if last is None else last
        found += [message for message in whole.messages if message.branch_id == branch.id and message.seq <= end]
        last = branch.parent_seq
        branch = branches.get(branch.parent_branch_id or "")
    return sorted(found, key=lambda message: message.seq)


def turns(whole: Whole) -> list[tuple[Turn, list[tuple[Message, ModelMessage]]]]:
    """The turns of the current history, each with its messages as stored and as PydanticAI has them."""
    by_id = {turn.id: turn for turn in whole.turns}
    files = {file.sha256: file.data for file in whole.files}
    return [
        (by_id[turn_id], [(record, from_record(record, files)) for record in group])
        for turn_id, group in groupby(history(whole), key=lambda message: message.turn_id)
    ]
