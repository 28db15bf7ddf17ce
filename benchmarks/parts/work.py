"""What chatnb does in the benchmarks: sessions and turns, made the way that `chatnb.turn` makes them."""

from __future__ import annotations

import random
from dataclasses import replace

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from chatnb.formats.pydantic_ai import from_record, to_record
from chatnb.records import Session, Turn, new_id
from chatnb.stores.journal import InFlight, owner
from chatnb.stores.store import Store

__all__ = ["ANSWER", "PROMPT", "WINDOW", "StoreWork", "text"]

WINDOW = 20
"""Messages of a window."""

PROMPT = 200
"""Characters of a prompt."""

ANSWER = 3000
"""Characters of an answer, unless a benchmark says otherwise."""

_WORDS = [
    "".join(random.Random(seed).choices("etaoinshrdlu", k=random.Random(-seed).randint(2, 10))) for seed in range(2000)
]


_BOOK = " ".join(random.Random(0).choices(_WORDS, k=400_000))


def text(size: int, seed: int) -> str:
    """About `size` characters of words, others for each seed, that compress about as language does. Takes no time."""
    start = seed * 7919 % (len(_BOOK) - size)
    return _BOOK[start : start + size]


class StoreWork:
    """One session in a store: a durable turn, and a window of the last messages.

    Parameters
    ----------
    store
        An open store.
    size
        Characters of an answer.
    """

    def __init__(self, store: Store, size: int = ANSWER) -> None:
        self.store = store
        self.size = size
        self.count = 0
        self.session = store.create_session(Session(id=new_id(), user_id="bench", name="bench"))

    def turn(self) -> Turn:
        """A turn as chatnb stores it: its opening with the prompt, and its end; each durable when it returns."""
        self.count += 1
        prompt, answer = text(PROMPT, self.count), text(self.size, -self.count)
        return write_turn(self.store, self.session, prompt, answer)

    def window(self) -> list[ModelMessage]:
        """What a turn reads: the session with its newest messages, as the model's own messages."""
        opened = self.store.open_session(self.session, lambda _, branch: max(branch.last_seq - WINDOW + 1, 1))
        return [from_record(record, {}) for record in opened.messages]

    def whole(self) -> Turn:
        """The window, and then the turn."""
        self.window()
        return self.turn()

    def again(self) -> None:
        """Begin a new session, so that no session grows without end."""
        self.session = self.store.create_session(Session(id=new_id(), user_id="bench", name="bench"))


def write_turn(store: Store, session: Session, prompt: str, answer: str) -> Turn:
    """Store one turn of a prompt and an answer."""
    asked, _ = to_record(ModelRequest(parts=[UserPromptPart(prompt)]), position=0, strict=False)
    turn = Turn(
        session_id=session.id,
        branch_id=session.branch_id,
        user_id=session.user_id,
        prompt=prompt,
        host=owner(),
        messages=(asked,),
    )
    state = InFlight(turn=turn)
    store.open_turn(state)
    answered, _ = to_record(ModelResponse(parts=[TextPart(answer)], model_name="bench"), position=1, strict=False)
    done = replace(turn, status="ok", answer=answer, model="bench", requests=1, messages=(asked, answered))
    return store.close_turn(replace(state, turn=done))
