"""A chat answer that is sent while it is written, up to its end or the event that says it broke off.

Until the first text comes nothing is sent, so that whatever fails before has its own status, and an answer
that came as a whole is sent as one. A caller that goes away ends the work at once.
"""

import asyncio
from collections.abc import AsyncGenerator

from services.api.body import ClientGoneError, Receive
from services.api.chat_request import ChatRequest
from services.api.chunks import (
    EVENT_STREAM,
    chunk_frame,
    event,
    first_chunk,
    last_chunks,
    text_chunk,
    text_chunks,
)
from services.api.errors import error_body
from services.api.messages import Headers, Request, Response
from services.api.native import work
from services.flow import Outlet
from services.runtime import Runtime
from services.values import Call, Decision

_END = None


class Sending:
    """One request's work as a task, and what it has written so far."""

    def __init__(self, call: Call, runtime: Runtime, receive: Receive) -> None:
        # Not bounded: what a model writes is, and a slow reader must not look like a slow endpoint.
        self._written: asyncio.Queue[str | None] = asyncio.Queue()
        self._outlet = Outlet(self._written.put_nowait)
        self._task = asyncio.create_task(work(call, runtime, self._outlet))
        self._task.add_done_callback(self._ended)
        self._watch = asyncio.create_task(_gone(receive))
        self._watch.add_done_callback(lambda _: self.leave())

    def _ended(self, task: "asyncio.Task[Decision]") -> None:
        self._written.put_nowait(_END)
        if not task.cancelled():
            task.exception()  # looked at here too: nobody may be left who asks for the decision

    async def text(self) -> str | None:
        """The next text; None once there will be no more before the verdict."""
        return await self._written.get()

    async def decision(self) -> Decision:
        """How it ended. Raises as the pipeline does, and `ClientGoneError`."""
        try:
            return await self._task
        except asyncio.CancelledError:
            if self._outlet.gone:
                raise ClientGoneError from None
            raise
        finally:
            self._watch.cancel()

    def leave(self) -> None:
        """Nobody reads any more: end the work, wherever it is."""
        self._watch.cancel()
        if not self._task.done():
            self._outlet.gone = True
            self._task.cancel()


async def stream_chat(
    request: Request, runtime: Runtime, asked: ChatRequest, call: Call, headers: Headers
) -> Decision | Response:
    """The whole decision where nothing was written before it, else the response that goes on writing."""
    sending = Sending(call, runtime, request.receive)
    try:
        first = await sending.text()
        if first is _END:
            return await sending.decision()  # nothing went out before the verdict
    except BaseException:
        sending.leave()
        raise
    headers = (*EVENT_STREAM, (b"x-switchyard-decision-id", call.id.encode()), *headers)
    return Response(200, headers=headers, stream=_events(sending, first, asked, call, request))


async def _events(
    sending: Sending, first: str | None, asked: ChatRequest, call: Call, request: Request
) -> AsyncGenerator[bytes, None]:
    shared = chunk_frame(asked, call.id, call.usecase.version)
    sent, text = "", first
    try:
        yield first_chunk(shared)
        while text is not _END:
            if text:
                sent += text
                yield text_chunk(shared, text)
            text = await sending.text()
        try:
            decision = await sending.decision()
            content = asked.content(decision.output)
            if not content.startswith(sent):
                raise RuntimeError("the answer does not begin with what was sent of it")
        except Exception as error:  # noqa: BLE001  — the status is long sent: an event says what went wrong
            yield event(error_body(error, request.id, request.trace_id))
            return
        for chunk in (*text_chunks(shared, content[len(sent) :]), *last_chunks(shared, asked, decision)):
            yield chunk
    finally:
        sending.leave()


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
