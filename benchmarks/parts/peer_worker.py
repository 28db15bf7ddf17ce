"""A peer in a process of its own: `python peer_worker.py PEER ADDRESS`, then one command a line, seconds back.

It imports nothing of chatnb, so that it runs in an environment with the peer's own versions of everything. Commands:
`turn`, `turn_at_once` (where the peer can), `window`, `fill N`, `quit`. Texts come as JSON on the same line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

WINDOW = 20


class OpenAIAgents:
    """OpenAI Agents' SQLiteSession, used as its Runner does: the input goes in before the request."""

    package = "openai-agents"

    def __init__(self, address: str) -> None:
        from agents import SQLiteSession

        self._loop = asyncio.new_event_loop()
        self._session: Any = SQLiteSession("bench", address)

    def _add(self, *items: dict[str, str]) -> None:
        self._loop.run_until_complete(self._session.add_items(list(items)))

    def turn(self, prompt: str, answer: str) -> None:
        """Two calls."""
        self._add({"role": "user", "content": prompt})
        self._add({"role": "assistant", "content": answer})

    def turn_at_once(self, prompt: str, answer: str) -> None:
        """One call: what was asked is lost if the process dies before the answer."""
        self._add({"role": "user", "content": prompt}, {"role": "assistant", "content": answer})

    def window(self) -> object:
        """The newest items."""
        return self._loop.run_until_complete(self._session.get_items(limit=WINDOW))


class LangChain:
    """LangChain community's SQLChatMessageHistory, used as RunnableWithMessageHistory does."""

    package = "langchain-community"

    def __init__(self, address: str) -> None:
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        self._history: Any = SQLChatMessageHistory("bench", connection=address)

    def turn(self, prompt: str, answer: str) -> None:
        """Two calls."""
        self._history.add_user_message(prompt)
        self._history.add_ai_message(answer)

    def turn_at_once(self, prompt: str, answer: str) -> None:
        """One call."""
        from langchain_core.messages import AIMessage, HumanMessage

        self._history.add_messages([HumanMessage(prompt), AIMessage(answer)])

    def window(self) -> object:
        """All messages are read, of which the last count."""
        return self._history.messages[-WINDOW:]


PEERS = {"openai-agents": OpenAIAgents, "langchain": LangChain}


def main() -> None:
    """Answer commands until `quit`."""
    name, address = sys.argv[1:]
    peer: Any = PEERS[name](address)
    from importlib.metadata import version

    print(f"{peer.package} {version(peer.package)}", flush=True)
    for line in sys.stdin:
        command, *args = json.loads(line)
        if command == "quit":
            return
        if command == "fill":
            for prompt, answer in args[0]:
                peer.turn_at_once(prompt, answer)
            print(0.0, flush=True)
            continue
        began = time.perf_counter()
        getattr(peer, command)(*args)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
