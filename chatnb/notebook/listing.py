"""What `%chat` shows of sessions, histories and branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatnb.formats.pydantic_ai import file_hashes, from_record
from chatnb.notebook.markdown import fenced, folded, inline_code, safe
from chatnb.records import Message, Session
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Text", "branches_frame", "sessions_frame", "transcript"]


class Text(str):
    """Text that a cell shows as it is, line by line, without quotes."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:
        printer.text(str(self))  # type: ignore[attr-defined]  # IPython's printer


def sessions_frame(store: Store, where: SessionFilter, *, limit: int) -> pd.DataFrame:
    """Sessions with their first question: name, messages, last used, model, tags, first question, id."""
    import pandas as pd

    sessions, _ = store.list_sessions(where, limit=limit)
    questions = store.first_questions(sessions)
    rows = [
        (
            session.label,
            session.message_count,
            session.last_message_at,
            session.model,
            list(session.tags),
            " ".join(questions.get(session.id, "").split())[:80],
            session.id,
        )
        for session in sessions
    ]
    columns = ["name", "messages", "last_message_at", "model", "tags", "first_question", "id"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["last_message_at"] = pd.to_datetime(frame["last_message_at"], utc=True)
    return frame


def branches_frame(store: Store, session: Session) -> pd.DataFrame:
    """Every way the session went: branch (the end of its id), current, kind, turns, messages, made, from seq."""
    import pandas as pd

    rows = [
        (
            line.branch.id[-8:],
            line.current,
            line.branch.kind,
            line.tip.turn_count,
            line.tip.last_seq,
            line.branch.parent_seq,
            line.branch.created_at,
        )
        for line in store.lines(session)
    ]
    return pd.DataFrame(rows, columns=["branch", "current", "kind", "turns", "messages", "goes_on_from", "created_at"])


def transcript(store: Store, session: Session, *, last: int | None = None) -> str:
    """A session's current history as Markdown, tool calls and thinking folded away."""
    records = store.messages(session)
    if last is not None:
        turns = list(dict.fromkeys(record.turn_id for record in records))[-last:] if last > 0 else []
        records = [record for record in records if record.turn_id in set(turns)]
    if not records:
        return f"*{safe(session.label)} has no messages.*"
    files = store.files([sha for record in records for sha in file_hashes(record)])
    return "\n\n".join(_drawn(record, files) for record in records)


def _drawn(record: Message, files: dict[str, bytes]) -> str:
    from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart

    message = from_record(record, files)
    if not isinstance(message, ModelResponse):
        if record.role == "user":
            return "\n".join(f"> {line}" for line in safe(record.content).splitlines())
        return folded(f"{record.role} result", fenced(record.content))
    blocks = []
    for part in message.parts:
        if isinstance(part, TextPart):
            blocks.append(safe(part.content))
        elif isinstance(part, ThinkingPart):
            blocks.append(folded("thinking", safe(part.content)))
        elif isinstance(part, ToolCallPart):
            blocks.append(folded(inline_code(part.tool_name), fenced(part.args_as_json_str(), "json")))
    return "\n\n".join(blocks)
