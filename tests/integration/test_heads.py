"""Request heads that come slowly, or never end, over real sockets to a real uvicorn server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

from services.api.heads import MAX_HEAD_BYTES, bound_request_heads

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class App:
    """Answers with the path once the body is there; `may_answer` holds it back."""

    def __init__(self) -> None:
        self.answered = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.reads_bodies = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while self.reads_bodies and (await receive()).get("more_body"):
            pass
        await self.may_answer.wait()
        self.answered += 1
        path = scope["path"].encode()
        length = str(len(path)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": path})


@asynccontextmanager
async def listening(app: App, timeout_s: float) -> AsyncIterator[int]:
    bound_request_heads(timeout_s)
    # As BentoML starts it: the protocol is uvicorn's own choice.
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  — uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes the connection."""
    async with asyncio.timeout(20):
        return await reader.read()


async def all_or_reset(reading: asyncio.Task[bytes]) -> bytes | None:
    """The same for one who keeps writing: closed with bytes unread, TCP may drop the answer on its way."""
    try:
        return await reading
    except ConnectionResetError:
        return None


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await reader.readexactly(length)


@pytest.mark.parametrize(
    "start", [b"G", b"GET / HTT", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", b"GET / HTTP/1.1\r\nhost: x\r\n"]
)
async def test_a_head_that_does_not_end_is_answered_408_and_closed(start: bytes) -> None:
    """However far it came; what it says is not echoed, and the app never sees it."""
    app = App()
    async with listening(app, 0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        answer = await all_of(reader)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"type":"head_timeout"' in answer
    assert app.answered == 0


@pytest.mark.parametrize("drop", [b"x-a: b\r\n", b"y", b"\r\n"])
async def test_bytes_now_and_then_do_not_keep_a_connection_open(drop: bytes) -> None:
    """Slowloris, and blank lines in front of a request: the clock runs from the first byte."""
    async with listening(App(), 0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if drop != b"\r\n":
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
        reading = asyncio.create_task(all_of(reader))
        dropped = 0
        while not reading.done():
            writer.write(drop)
            dropped += 1
            await asyncio.sleep(0.02)
        answer = await all_or_reset(reading)
        writer.close()
    assert answer is None or answer.startswith(b"HTTP/1.1 408 ")
    assert dropped > 2


async def test_a_connection_that_says_nothing_is_closed_without_an_answer() -> None:
    async with listening(App(), 0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await all_of(reader) == b""
        writer.close()


async def test_the_second_request_of_a_connection_is_timed_from_its_own_first_byte() -> None:
    """A connection lives on between requests; an unfinished second head ends it."""
    async with listening(App(), 0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(GET)
            assert (await one_answer(reader)).startswith(b"HTTP/1.1 200 ")
        writer.write(GET[:10])
        assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_an_answer_under_way_is_not_cut_short() -> None:
    """Half a second request behind a first one that takes longer than any head may."""
    app = App()
    app.may_answer.clear()
    async with listening(app, 0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + GET[:10])
        await asyncio.sleep(0.2)
        app.may_answer.set()
        assert (await one_answer(reader)).startswith(b"HTTP/1.1 200 ")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_the_rest_of_a_body_that_nobody_reads_does_not_keep_a_connection_open() -> None:
    """Refused before the body was there: a byte now and then is not enough to stay."""
    app = App()
    app.reads_bodies = False
    async with listening(app, 0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
        assert (await one_answer(reader)).startswith(b"HTTP/1.1 200 ")
        reading = asyncio.create_task(all_of(reader))
        while not reading.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert not await all_or_reset(reading)
        writer.close()


@pytest.mark.parametrize("unit", [b"x-a: b\r\n", b"y"])
async def test_a_head_that_is_too_large_is_answered_431(unit: bytes) -> None:
    """Many headers, or one that is long."""
    head = b"GET / HTTP/1.1\r\nhost: x\r\nx-long: " + unit * (MAX_HEAD_BYTES * 2 // len(unit)) + b"\r\n\r\n"
    app = App()
    async with listening(app, 10) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        answer = await all_of(reader)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert app.answered == 0


@pytest.mark.parametrize("unit", [b"x-a: b\r\n", b"y" * 8])
async def test_a_head_that_grows_without_an_end_is_cut_off(unit: bytes) -> None:
    """In small pieces: closed soon after the bound, so that memory is bounded."""
    app, sent = App(), 0
    async with listening(app, 30) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-long: ")
        reading = asyncio.create_task(reader.read())
        while not reading.done() and sent < 50 * MAX_HEAD_BYTES:
            writer.write(unit * 100)
            sent += len(unit) * 100
            await asyncio.sleep(0.001)
        # Closed with bytes unread, TCP may drop the 431 on its way.
        assert await asyncio.gather(reading, return_exceptions=True)
        writer.close()
    assert MAX_HEAD_BYTES <= sent < 50 * MAX_HEAD_BYTES
    assert app.answered == 0


async def test_a_large_head_within_the_bound_and_a_body_larger_than_it_pass() -> None:
    """The bound is the head's alone, for each request of a connection anew."""
    async with listening(App(), 10) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"b" * (3 * MAX_HEAD_BYTES)
        for _ in range(3):
            filler = b"x-a: " + b"y" * (MAX_HEAD_BYTES - 1000) + b"\r\n"
            length = b"content-length: " + str(len(body)).encode()
            writer.write(b"POST /p HTTP/1.1\r\nhost: x\r\n" + filler + length + b"\r\n\r\n" + body)
            assert (await one_answer(reader)).endswith(b"/p")
        writer.close()
