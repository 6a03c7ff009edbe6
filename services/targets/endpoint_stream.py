"""Reads a streamed answer off the wire, bounded in line length and silence; each piece is told at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx2

from services.errors import TargetFailed
from services.targets.chat import ChatReply, Tell
from services.targets.chat_stream import ChatStream
from services.targets.event_stream import BadStreamError, EventStream
from services.targets.transport import EVENT_STREAM

_END_S = 0.1  # how long the end of the body is waited for, so that its connection can be used again


async def read_stream(
    response: httpx2.Response, is_model: Callable[[object], bool], idle_s: float, tell: Tell
) -> ChatReply:
    """The whole reply, once it ended as an answer ends. Raises `TargetFailed`, `TargetRefused`, and what
    the transport raises. `idle_s`: the longest silence between two pieces; comments do not break it."""
    if not response.headers.get("content-type", "").lower().startswith(EVENT_STREAM):
        raise TargetFailed("bad_stream", "was asked for a stream and sent something else", cost_usd=None)
    events, reading, body = EventStream(), ChatStream(is_model), response.aiter_raw()
    try:
        async with asyncio.timeout(None) as silence:
            async for chunk in body:
                for data in events.feed(chunk):
                    silence.reschedule(asyncio.get_running_loop().time() + idle_s)
                    if piece := reading.feed(data):
                        await tell(piece)
                if reading.done:
                    break
    except BadStreamError as error:
        raise TargetFailed("bad_stream", f"its stream holds {error}", cost_usd=None) from None
    except TimeoutError:
        if not silence.expired():
            raise
        message = f"its stream fell silent for {idle_s:g} s"
        raise TargetFailed("silent", message, cost_usd=None) from None
    await _end(body)
    return reading.reply()


async def _end(body: AsyncIterator[bytes]) -> None:
    with suppress(TimeoutError, httpx2.TransportError):
        async with asyncio.timeout(_END_S):
            async for _ in body:
                pass
