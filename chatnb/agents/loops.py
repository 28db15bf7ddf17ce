"""A model whose connections belong to another running event loop, made usable on this one.

HTTP connections belong to the loop that opened them. PydanticAI replaces a provider's own client when that loop has
stopped; while it still runs (an agent awaited in a cell, then run on a background loop) it leaves the client alone, and
the run fails with "bound to a different event loop".
"""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from pydantic_ai.models import Model, create_async_httpx2_client
from pydantic_ai.models.wrapper import WrapperModel

__all__ = ["model_for_this_loop"]


@runtime_checkable
class _Copyable(Protocol):
    """The SDK clients of OpenAI, Anthropic and Groq."""

    def copy(self, *, http_client: object) -> _Copyable: ...

    def is_closed(self) -> bool: ...


_copies: WeakKeyDictionary[object, WeakKeyDictionary[asyncio.AbstractEventLoop, _Copyable]] = WeakKeyDictionary()


def model_for_this_loop(model: Model) -> Model:
    """`model` itself, or the same model over connections of the running loop.

    In the main thread it is the model itself, unless its connections belong to a loop that still runs elsewhere. In
    another thread it is always a twin: a background loop that used the model's own connections would take them away
    from its owner, who awaits the model in a cell.

    Only models whose provider's client can be copied over another HTTP client have twins (OpenAI's, Anthropic's and
    Groq's SDKs, and what is built on them); any other is returned as it is.
    """
    if isinstance(model, WrapperModel):
        inner = model_for_this_loop(model.wrapped)
        if inner is model.wrapped:
            return model
        outer = copy.copy(model)
        outer.wrapped = inner
        return outer
    loop = asyncio.get_running_loop()
    provider = getattr(model, "_provider", None)
    client = getattr(provider, "_client", None)
    if provider is None or not isinstance(client, _Copyable):
        return model
    if threading.current_thread() is threading.main_thread():
        owner = getattr(provider, "_own_client_loop", None)
        if owner is None or owner is loop or not owner.is_running():
            return model
    copies = _copies.setdefault(client, WeakKeyDictionary())
    if loop not in copies or copies[loop].is_closed():
        copies[loop] = client.copy(http_client=create_async_httpx2_client())
    twin, twin_provider = copy.copy(model), copy.copy(provider)
    twin_provider._client = copies[loop]
    twin_provider._own_http_client = None  # the copy lives as long as its loop; the provider must not close it
    twin_provider.__dict__.pop("_enter_lock", None)
    twin._provider = twin_provider
    return twin
