"""An OpenAI-compatible endpoint on loopback that does what a test says, and can fail in every way.

It writes raw bytes to sockets in a thread of its own, so that it can also break the protocol.

    with ScriptedEndpoint() as endpoint:
        endpoint.will("http_500", "ok")   # one for each request; the last one repeats
        ... EndpointSettings(base_url=endpoint.url, model="scripted")
        endpoint.requests                  # what arrived
"""

import asyncio
import contextlib
import gzip
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Write = Callable[[bytes], Awaitable[None]]
PIECE = 7  # characters of a streamed answer in each event, unless a test says otherwise


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)

    def prompt(self) -> str:
        """All message texts, as the model would read them."""
        return "\n".join(message["content"] for message in self.json()["messages"])


class ScriptedEndpoint:
    """Start with `with`. `answer` is what a good reply holds; `delay_s` comes before each reply."""

    def __init__(self, answer: object = None, delay_s: float = 0.0) -> None:
        self.answer = {"reply": "A scripted answer.", "intent": "out_of_scope"} if answer is None else answer
        self.delay_s = delay_s
        self.usage: object = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        self.requests: list[Seen] = []
        self.cuts: list[str] | None = None  # a streamed answer's pieces, instead of `answer`
        self.gone = threading.Event()  # a stream's reader went away before its end
        self.go_on = threading.Event()  # lets a stream that waits in the middle go on
        self._script: list[str] = ["ok"]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-endpoint", daemon=True)
        self._listening = threading.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *behaviours: str) -> "ScriptedEndpoint":
        """What the next requests get, in order; the last one repeats. `refuse` closes the port now."""
        unknown = set(behaviours) - set(BEHAVIOURS) - {"refuse"}
        assert not unknown, f"no such behaviour: {unknown}; there are {sorted(BEHAVIOURS)} and refuse"
        self._script = list(behaviours)
        if "refuse" in behaviours:
            self._on_loop(self._close_port())
        elif self._server is None:
            self._on_loop(self._open_port(self.port))
        return self

    def behave(self, name: str, status: int, retry_after: str) -> None:
        """A behaviour more: an error of that status that says when to come back."""
        BEHAVIOURS[name] = _sends(_error("later"), status, f"retry-after: {retry_after}")

    def __enter__(self) -> "ScriptedEndpoint":
        self._thread.start()
        self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._on_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._open_port(0))
        self._listening.set()
        self._loop.run_forever()
        self._loop.close()

    def _on_loop(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open_port(self, port: int) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_port(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stop(self) -> None:
        await self._close_port()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (seen := await _read_request(reader)) is not None:
                self.requests.append(seen)
                behaviour = self._script.pop(0) if len(self._script) > 1 else self._script[0]
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if not await self._reply(behaviour, seen, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _reply(self, behaviour: str, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """True when the connection may be used again."""

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        return await BEHAVIOURS[behaviour](self, seen, write)

    def events(self, model: str, finish: str = "stop") -> list[bytes]:
        """The same as events of a stream, `[DONE]` included."""
        text = json.dumps(self.answer)
        pieces = self.cuts or [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in pieces]
        shared = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": model}
        chunks: list[dict[str, object]] = [
            {**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks.append({**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        chunks.append({**shared, "choices": [], "usage": self.usage})
        return [*(_event(json.dumps(chunk).encode()) for chunk in chunks), _event(b"[DONE]")]

    def completion(self, model: str, content: str | None = None, **message: object) -> bytes:
        """A chat completion as OpenAI writes it."""
        text = json.dumps(self.answer) if content is None else content
        said = {"role": "assistant", "content": text, **message}
        return json.dumps(
            {
                "id": "chatcmpl-scripted",
                "object": "chat.completion",
                "created": 1,
                "model": model,
                "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
                "usage": self.usage,
            }
        ).encode()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(first.split(" ")[1], headers, body)


def _head(status: int, length: int | None, *extra: str) -> bytes:
    said = (
        [] if any(line.startswith("content-type") for line in extra) else ["content-type: application/json"]
    )
    lines = [f"HTTP/1.1 {status} Scripted", *said, *extra]
    if length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


Behaviour = Callable[[ScriptedEndpoint, Seen, Write], Awaitable[bool]]


def _sends(make: Callable[[ScriptedEndpoint, Seen], bytes], status: int = 200, *extra: str) -> Behaviour:
    """A whole, well-formed HTTP response."""

    async def behave(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
        body = make(endpoint, seen)
        await write(_head(status, len(body), *extra) + body)
        return True

    return behave


def _error(message: str, code: str | None = None) -> Callable[[ScriptedEndpoint, Seen], bytes]:
    return lambda *_: json.dumps({"error": {"message": message, "type": "scripted", "code": code}}).encode()


def _model(seen: Seen) -> str:
    return str(seen.json().get("model"))


def _refusal(endpoint: ScriptedEndpoint, seen: Seen) -> bytes:
    return endpoint.completion(_model(seen), "", refusal="I cannot help with that.")


def _filtered(endpoint: ScriptedEndpoint, seen: Seen) -> bytes:
    return endpoint.completion(_model(seen), "").replace(b'"stop"', b'"content_filter"')


def _too_long(endpoint: ScriptedEndpoint, seen: Seen) -> bytes:
    return endpoint.completion(_model(seen), '{"reply": "cut o').replace(b'"stop"', b'"length"')


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _streams(
    middle: Callable[[ScriptedEndpoint, Write], Awaitable[object]] | None = None,
    part: float = 0.5,
    goes_on: bool = False,
    **how: str,
) -> Behaviour:
    """An event stream: whole, or its first `part`, then what `middle` does, then the rest if it `goes_on`."""

    async def behave(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
        events = endpoint.events(_model(seen), **how)
        at = len(events) if middle is None else int(len(events) * part)
        await write(_head(200, None, "content-type: text/event-stream", "transfer-encoding: chunked"))
        try:
            for event in events[:at]:
                await write(_chunked(event))
            if middle is not None and await middle(endpoint, lambda data: write(_chunked(data))) is False:
                return False
            for event in events[at:] if goes_on else []:
                await write(_chunked(event))
        except ConnectionError:
            endpoint.gone.set()
            raise
        await write(b"0\r\n\r\n")
        return True

    return behave


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


def _says(data: bytes) -> Callable[[ScriptedEndpoint, Write], Awaitable[object]]:
    async def say(_: ScriptedEndpoint, write: Write) -> None:
        await write(data)

    return say


async def _waits(endpoint: ScriptedEndpoint, write: Write) -> None:
    """Until `go_on`, with comments in between, which also show whether anybody still reads."""
    while not endpoint.go_on.is_set():
        await write(b": wait\n\n")
        await asyncio.sleep(0.01)


async def _closes(endpoint: ScriptedEndpoint, write: Write) -> bool:
    return False


async def _hang(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    await asyncio.sleep(3600)
    return False


async def _hang_mid_body(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    body = endpoint.completion(_model(seen))
    await write(_head(200, len(body)) + body[: len(body) // 2])
    return await _hang(endpoint, seen, write)


async def _drip(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    body = endpoint.completion(_model(seen))
    await write(_head(200, len(body)))
    for byte in body:
        await write(bytes([byte]))
        await asyncio.sleep(0.2)
    return True


async def _cut_off(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    """Announces more than it sends, then closes."""
    body = endpoint.completion(_model(seen))
    await write(_head(200, len(body)) + body[: len(body) // 2])
    return False


async def _reset(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    return False


async def _huge(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    """50 MB without saying so beforehand."""
    await write(_head(200, None, "transfer-encoding: chunked"))
    block = b"x" * 65536
    with contextlib.suppress(ConnectionError):
        for _ in range(50 * 16):
            await write(b"%x\r\n" % len(block) + block + b"\r\n")
        await write(b"0\r\n\r\n")
    return False


async def _garbage(endpoint: ScriptedEndpoint, seen: Seen, write: Write) -> bool:
    await write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    return False


@cache
def _bomb() -> bytes:
    """About 100 kB that would be 100 MB."""
    return gzip.compress(bytes(100_000_000), 6)


BEHAVIOURS: dict[str, Behaviour] = {
    "ok": _sends(lambda endpoint, seen: endpoint.completion(_model(seen))),
    "hang": _hang,
    "hang_mid_body": _hang_mid_body,
    "slow_drip": _drip,
    "cut_off": _cut_off,
    "reset": _reset,
    "garbage": _garbage,
    "http_400": _sends(_error("bad request"), 400),
    "http_401": _sends(_error("bad key"), 401),
    "http_429": _sends(_error("slow down"), 429, "retry-after: 7"),
    "http_500": _sends(_error("broken"), 500),
    "http_503": _sends(_error("overloaded"), 503),
    "redirect": _sends(lambda *_: b"", 307, "location: http://127.0.0.1:9/v1/chat/completions"),
    "huge_body": _huge,
    "gzip_bomb": _sends(lambda *_: _bomb(), 200, "content-encoding: gzip"),
    "truncated_json": _sends(lambda endpoint, seen: endpoint.completion(_model(seen))[:-20]),
    "not_json": _sends(lambda *_: b"<html>proxy login</html>"),
    "not_a_completion": _sends(lambda *_: b'{"hello": "world"}'),
    "wrong_schema": _sends(lambda e, s: e.completion(_model(s), '{"answer": "in another shape"}')),
    "prose": _sends(lambda e, s: e.completion(_model(s), "Sure! Here is your answer.")),
    "empty": _sends(lambda e, s: e.completion(_model(s), "")),
    "wrong_model": _sends(lambda endpoint, _: endpoint.completion("another-model")),
    "refusal": _sends(_refusal),
    "content_filter": _sends(_filtered),
    "filter_error": _sends(_error("filtered", "content_filter"), 400),
    "too_long": _sends(_too_long),
    "stream": _streams(),
    "stream_hangs": _streams(_waits, goes_on=True),
    "stream_cut_off": _streams(_closes),
    "stream_truncated": _streams(_says(b": the end\n\n")),
    "stream_undone": _streams(_says(b": the end\n\n"), part=0.99),
    "stream_garbage": _streams(_says(b"<html>proxy login</html>\n\n"), goes_on=True),
    "stream_bad_json": _streams(_says(_event(b'{"choices": [')), goes_on=True),
    "stream_huge_line": _streams(_says(b"data: " + b"x" * 1_000_000 + b"\n\n"), goes_on=True),
    "stream_error": _streams(_says(_event(b'{"error": {"message": "overloaded"}}')), goes_on=True),
    "stream_filtered": _streams(finish="content_filter"),
    "stream_too_long": _streams(finish="length"),
    "stream_goes_on": _streams(_says(_event(b"more")), part=1.0),
}
