"""An OpenAI-compatible HTTP server on this machine that answers from a script and records what it was sent."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.rigs import openai_wire as wire
from tests.rigs.openai_wire import Answer, Call, Usage

__all__ = ["Answer", "Call", "OpenAIServer", "Refusal", "Reply", "Request", "Usage"]

HOLD_LIMIT = 60.0  # seconds after which a held answer gives up, so that a forgotten event cannot hang the suite


@dataclass(frozen=True)
class Refusal:
    """An error in OpenAI's shape instead of an answer.

    A client that gets 429 or 500 tries again by itself; `retry_after` (seconds, fractions allowed) tells it when.
    """

    status: int
    message: str = "refused by the script"
    code: str = "scripted"
    retry_after: float | None = None


@dataclass
class Request:
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]  # names in lower case
    raw: bytes
    json: dict[str, Any]
    gone: threading.Event = field(default_factory=threading.Event)  # set when the client left before the answer's end

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Chat Completions' messages."""
        return list(self.json["messages"])


Reply = Answer | Refusal
Script = Reply | Callable[[Request], Reply]


class Dropped(ConnectionError):
    """The script cuts the connection here."""


class OpenAIServer:
    """`POST /v1/chat/completions` and `/v1/responses` (streamed or not), `GET /v1/models`.

    Parameters
    ----------
    *script
        One reply, or a function from the request to a reply, for each request in turn.
    otherwise
        What answers when the script has ended. Without it the server refuses with 400 and says so.
    models
        The names that ``/v1/models`` lists.

    Examples
    --------
    >>> import openai
    >>> with OpenAIServer(Answer("Hello there.")) as server, openai.OpenAI(**server.client) as client:
    ...     reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    >>> reply.choices[0].message.content
    'Hello there.'
    >>> server.requests[0].messages
    [{'role': 'user', 'content': 'Hi'}]
    """

    def __init__(self, *script: Script, otherwise: Script | None = None, models: tuple[str, ...] = ("gpt-5",)) -> None:
        self.requests: list[Request] = []
        self.models = models
        self._script = deque(script)
        self._otherwise = otherwise
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._numbers = itertools.count(1)
        self._socket = socket.create_server(("127.0.0.1", 0))  # already listening, so no client can be too early
        self.port: int = self._socket.getsockname()[1]
        app = Starlette(
            routes=[
                Route("/v1/models", self._list_models),
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/responses", self._complete, methods=["POST"]),
            ]
        )
        config = uvicorn.Config(
            app, log_config=None, log_level="critical", ws="none", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL, with ``/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def client(self) -> dict[str, str]:
        """Arguments for `openai.OpenAI`, `openai.AsyncOpenAI` and PydanticAI's `OpenAIProvider`."""
        return {"base_url": self.url, "api_key": "sk-test"}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, for a kernel or a command."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "sk-test"}

    def reply_with(self, *script: Script) -> None:
        """Add to the script."""
        self._script.extend(script)

    def forget_script(self) -> None:
        """Leave out what of the script was not asked for."""
        self._script.clear()

    def wait_for_request(self, number: int = 1, timeout: float = 30) -> Request:
        """The request with this number (from 1), as soon as it has come."""
        with self._arrived:
            there = self._arrived.wait_for(lambda: len(self.requests) >= number, timeout)
        assert there, f"request {number} did not come within {timeout} s; {len(self.requests)} did"
        return self.requests[number - 1]

    def close(self) -> None:
        """Stop listening; answers that are still held are cut."""
        self._closing.set()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
        assert not self._thread.is_alive(), "the server did not stop within 10 s"

    def __enter__(self) -> OpenAIServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _list_models(self, request: HttpRequest) -> Response:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "test"} for name in self.models]
        return JSONResponse({"object": "list", "data": models})

    async def _complete(self, http: HttpRequest) -> Response:
        raw = await http.body()
        request = Request(http.url.path, dict(http.headers), raw, json.loads(raw))
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        reply = self._next_reply(request)
        if isinstance(reply, Refusal):
            return refuse(reply)
        number = next(self._numbers)
        shape: wire.Shape = wire.Responses if request.path.endswith("/responses") else wire.ChatCompletions
        if request.json.get("stream"):
            pieces = shape.stream(reply, request.json, number)
            return StreamingResponse(self._send(reply, pieces, request, http), media_type="text/event-stream")
        body = json.dumps(shape.body(reply, request.json, number)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        return StreamingResponse(self._send_whole(reply, body, request, http), headers=headers)

    def _next_reply(self, request: Request) -> Reply:
        step = self._script.popleft() if self._script else self._otherwise
        if step is None:
            return Refusal(400, f"the script has ended: this is request {len(self.requests)}", "script_ended")
        return step if isinstance(step, Answer | Refusal) else step(request)

    async def _send(
        self, reply: Answer, pieces: Iterator[wire.Piece], request: Request, http: HttpRequest
    ) -> AsyncIterator[bytes]:
        """A stream's pieces, held, cut or spoilt where the reply says so."""
        words, held, spoilt = 0, False, False
        with noticing_that_the_client_left(request):
            for piece, is_word in pieces:
                if reply.hold is not None and words >= reply.hold_after and not held:
                    held = True
                    await self._hold(reply.hold, http)
                if reply.drop_after is not None and words >= reply.drop_after:
                    raise Dropped
                if reply.malformed_after is not None and words >= reply.malformed_after and not spoilt:
                    spoilt = True
                    yield spoil(piece)
                else:
                    yield piece
                words += is_word

    async def _send_whole(
        self, reply: Answer, body: bytes, request: Request, http: HttpRequest
    ) -> AsyncIterator[bytes]:
        """A body that is not streamed, held, cut or spoilt as a whole."""
        with noticing_that_the_client_left(request):
            if reply.hold is not None:
                await self._hold(reply.hold, http)
            if reply.drop_after is not None:
                yield body[:1]
                raise Dropped
            yield body if reply.malformed_after is None else spoil(body)

    async def _hold(self, event: threading.Event, http: HttpRequest) -> None:
        deadline = time.monotonic() + HOLD_LIMIT
        while not event.is_set():
            if self._closing.is_set() or time.monotonic() > deadline or await http.is_disconnected():
                raise ConnectionError("nobody waits for this answer any more")
            await asyncio.sleep(0.01)


@contextmanager
def noticing_that_the_client_left(request: Request) -> Iterator[None]:
    """Set the request's `gone` if sending is cancelled or fails, except where the script itself cuts it."""
    try:
        yield
    except Dropped:
        raise
    except BaseException:
        request.gone.set()
        raise


def spoil(piece: bytes) -> bytes:
    """As long as before, but no longer JSON."""
    return re.sub(rb'["}\]]', b"?", piece)


def refuse(refusal: Refusal) -> Response:
    """The refusal as HTTP."""
    error = {"message": refusal.message, "type": "error", "param": None, "code": refusal.code}
    headers = {} if refusal.retry_after is None else {"retry-after": f"{refusal.retry_after:g}"}
    return JSONResponse({"error": error}, refusal.status, headers)
