"""PydanticAI's `ConversationStore` over any chatnb store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Literal, TypeVar, cast

import pydantic
from anyio import to_thread
from pydantic_ai import conversation_store
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    ToolCallPart,
)
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from chatnb.formats.pydantic_ai import from_record, part_text, to_record
from chatnb.records import ToolCall, Usage
from chatnb.sendable import goes_on
from chatnb.settings import default_user
from chatnb.stores import conversations, conversing
from chatnb.stores.base import Tx
from chatnb.stores.conversations import Kept, Owner
from chatnb.stores.conversing import Said
from chatnb.stores.plainjson import cleaned
from chatnb.stores.store import Store

__all__ = ["ConversationStore"]

T = TypeVar("T")


class ConversationStore(conversation_store.ConversationStore):
    """Conversations of PydanticAI in a chatnb store: each is a session, its entries are the session's messages.

    A conversation that was saved here is a session everywhere else in chatnb, with a turn for each user message, and
    what a notebook, a `Chat` or another interface adds to that session is there when the conversation is loaded next.
    Sessions that never were conversations can be loaded, too, by id or by name.

    A save checks the revision and stores everything in one transaction. `delete` removes the messages that no other
    conversation or session uses, with the files in them. Messages come back as `ModelMessagesTypeAdapter` reads them.

    Parameters
    ----------
    store
        An open store of any kind.
    user
        Whose conversations these are; None is the user that `%%chat` has. Others' are not seen.
    collection
        Keeps conversations apart from sessions of the same ids; '' is where notebooks have theirs.
    project
        The folder that new sessions belong to, and in which names are looked for; '' outside notebooks.

    Examples
    --------
    >>> import asyncio
    >>> from pydantic_ai import Agent
    >>> from pydantic_ai.models.test import TestModel
    >>> from chatnb import open_store
    >>> async def ask(prompt):
    ...     conversation = await conversations.load("trip") or Conversation(conversation_id="trip")
    ...     result = await Agent(TestModel()).run(prompt, conversation=conversation)
    ...     await conversations.save(result)
    ...     return len(result.conversation.messages)
    >>> from pydantic_ai.conversation import Conversation
    >>> conversations = ConversationStore(open_store("memory:"), user="ann")
    >>> [asyncio.run(ask("Where to?")), asyncio.run(ask("And then?"))]
    [2, 4]
    """

    def __init__(self, store: Store, *, user: str | None = None, collection: str = "", project: str = "") -> None:
        self._store = store
        self._owner = Owner(user=default_user() if user is None else user, collection=collection, project=project)

    def __repr__(self) -> str:
        return f"<ConversationStore of {self._owner.user!r} in {self._store.url}>"

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a conversation, or None if the store doesn't have it."""
        kept = await self._run(lambda tx: conversations.read(tx, self._owner, conversation_id), write=False)
        return None if kept is None else _record(kept)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The records, or those of one scope, the most recently saved first."""
        found = await self._run(lambda tx: conversations.listing(tx, self._owner, scope, limit), write=False)
        return [_record(kept) for kept in found]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and its new entries, all or nothing.

        Raises
        ------
        ConversationConflict
            When the stored revision is not `expected_revision`, or an entry that the record goes on from has gone.
        """

        def prepare() -> Callable[[Tx], None]:
            kept, said = _kept(record, self._owner), [_said(entry) for entry in new_entries]
            return lambda tx: conversing.write(tx, self._owner, kept, said, expected_revision)

        await to_thread.run_sync(lambda: self._store.transact(prepare()))

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation, with the entries that no other conversation's or session's history reaches.

        Raises
        ------
        ConversationConflict
            When the stored revision is not `expected_revision`.
        """
        await self._run(lambda tx: conversing.delete(tx, self._owner, conversation_id, expected_revision))

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry with this id.

        Raises
        ------
        LookupError
            When there is none.
        """
        return (await self.read_history(entry_id, limit=1))[0]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to `head_id`, in order, or only the last `limit` of them.

        Raises
        ------
        LookupError
            When there is no entry `head_id`.
        """

        def read() -> list[ConversationEntry]:
            found = self._store.transact(lambda tx: conversations.history(tx, self._owner, head_id, limit), write=False)
            parents = [found.parent_id, *(message.id for message in found.messages)]
            return [
                ConversationEntry(id=message.id, parent_id=parent, message=from_record(message, found.files))
                for parent, message in zip(parents, found.messages, strict=False)
            ]

        return await to_thread.run_sync(read)

    async def _run(self, work: Callable[[Tx], T], *, write: bool = True) -> T:
        return await to_thread.run_sync(lambda: self._store.transact(work, write=write))


@cache
def _usage_adapter() -> pydantic.TypeAdapter[RunUsage]:
    return pydantic.TypeAdapter(RunUsage)


@cache
def _deferred_adapter() -> pydantic.TypeAdapter[DeferredToolRequests | None]:
    """As the messages' own adapter writes bytes, so that what a tool was called with is the same in both."""
    return pydantic.TypeAdapter(
        DeferredToolRequests | None, config=pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    )


def _record(kept: Kept) -> ConversationRecord:
    """What is kept of a conversation, as PydanticAI has it."""
    usage = _usage_adapter().validate_python(kept.usage or {})
    since = kept.since
    if since != Usage():
        usage += RunUsage(
            requests=since.requests,
            tool_calls=since.tool_calls,
            input_tokens=since.input_tokens,
            output_tokens=since.output_tokens,
            cache_read_tokens=since.cache_read_tokens,
            cache_write_tokens=since.cache_write_tokens,
            cost=None if since.cost is None else Decimal(str(since.cost)),
        )
    return ConversationRecord(
        conversation_id=kept.session_id,
        head_id=kept.head_id,
        usage=usage,
        deferred_tool_requests=_deferred_adapter().validate_python(kept.deferred),
        scope=kept.scope,
        forked_from=kept.forked_from,
        forked_at=kept.forked_at,
        branches=list(kept.branches),
        revision=kept.revision,
        updated_at=kept.updated_at,
        format_version=cast(Literal[1], kept.format_version),
    )


def _kept(record: ConversationRecord, owner: Owner) -> Kept:
    """The inverse of `_record`."""
    deferred = _deferred_adapter().dump_python(record.deferred_tool_requests, mode="json", fallback=repr)
    return Kept(
        session_id=record.conversation_id,
        user_id=owner.user,
        collection=owner.collection,
        revision=record.revision,
        head_id=record.head_id,
        branches=record.branches,
        usage=_usage_adapter().dump_python(record.usage, mode="json"),
        deferred=cleaned(deferred),
        scope=record.scope,
        forked_from=record.forked_from,
        forked_at=record.forked_at,
        updated_at=record.updated_at,
        format_version=record.format_version,
    )


def _said(entry: ConversationEntry) -> Said:
    """An entry as it is stored, and what its turn learns from it."""
    message = entry.message
    record, files = to_record(message, strict=False)
    response = message if isinstance(message, ModelResponse) else None
    results = _results(message)
    return Said(
        parent_id=entry.parent_id,
        record=replace(record, id=entry.id),
        opens=not goes_on(message),
        ends=response is not None
        and response.state == "complete"
        and not any(isinstance(part, ToolCallPart) for part in response.parts),
        files=files,
        usage=Usage(
            requests=int(response is not None),
            tool_calls=sum(good for _, good in results.values()),
            input_tokens=response.usage.input_tokens if response else 0,
            output_tokens=response.usage.output_tokens if response else 0,
            cache_read_tokens=response.usage.cache_read_tokens if response else 0,
            cache_write_tokens=response.usage.cache_write_tokens if response else 0,
        ),
        calls=tuple(
            ToolCall(
                turn_id="",
                call_id=part.tool_call_id,
                tool=part.tool_name,
                arguments=part.args_as_dict(),
                started_at=record.created_at,
            )
            for part in message.parts
            if isinstance(part, BaseToolCallPart)
        ),
        results=results,
    )


def _results(message: ModelMessage) -> dict[str, tuple[str, bool]]:
    """What tools gave back, by the call's id; errors are not good."""
    return {
        part.tool_call_id: (
            part_text(part),
            not isinstance(part, RetryPromptPart) and part.outcome == "success",
        )
        for part in message.parts
        if isinstance(part, BaseToolReturnPart | RetryPromptPart)
    }
