"""The errors chatnb raises: one small tree, each message a sentence that says what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AgentError",
    "BadInput",
    "ChatnbError",
    "ModelError",
    "ModelNotChosen",
    "SchemaTooNew",
    "SessionNotFound",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "TurnInterrupted",
    "nearest",
]


class ChatnbError(Exception):
    """The root of every error chatnb raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """One line in a notebook; IPython calls this instead of drawing the frames."""
        return [f"{type(self).__name__}: {self}"]

    def with_traceback_shown(self) -> Exception:
        """The same error for someone who wants to see the frames."""
        return RuntimeError(f"{type(self).__name__}: {self}").with_traceback(self.__traceback__)


class BadInput(ChatnbError, ValueError):
    """A value that chatnb was given cannot be used; nothing was done."""


class SessionNotFound(ChatnbError, LookupError):
    """No session has this id or name for this user."""


class StoreError(ChatnbError):
    """The store cannot be read or written; what it holds is untouched."""


class StoreBusy(StoreError):
    """Another process held the store for longer than the wait allows."""


class StoreFull(StoreError):
    """There is no room to write."""


class SchemaTooNew(StoreError):
    """The store was made by a chatnb whose tables this one does not know."""


class ModelNotChosen(BadInput):
    """No model was named anywhere."""


class AgentError(BadInput):
    """The object that `-a`, `--deps` or `-t` names cannot serve as that."""


class ModelError(ChatnbError):
    """The model or its provider failed; the prompt is stored."""


class TurnInterrupted(ChatnbError):
    """The turn was stopped before its end; what it had is stored."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, as a question, or an empty text.

    >>> nearest("planing", ["planning", "eda"])
    " Did you mean 'planning'?"
    >>> nearest("zzz", ["planning"])
    ''
    """
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {match[0]!r}?" if match else ""
