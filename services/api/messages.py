"""One request and one response between the ASGI app and its handlers: no framework, bytes at the edge."""

import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from services.api.body import Receive, read_body, require_json
from services.values import Caller

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
JSON_TYPE = (b"content-type", b"application/json")

Headers = tuple[tuple[bytes, bytes], ...]


class Request:
    """What a handler sees. `id` is ours, made anew for each request; it becomes the decision's id.

    `started` (time.monotonic() seconds) is when its time began to run: before the door, not behind it.
    """

    def __init__(self, scope: Mapping[str, Any], receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.body_done = False
        self.started = time.monotonic()
        self.id = new_id()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.params: tuple[str, ...] = ()
        self.caller: Caller | None = None
        self.trace_id: str | None = None

    @property
    def known_caller(self) -> Caller:
        """The caller, on paths that need a key."""
        if self.caller is None:
            raise RuntimeError("this path is public: it has no caller")
        return self.caller

    async def body(self, max_bytes: int, timeout_s: float) -> bytes:
        """The JSON body's bytes. Raises `UnsupportedMedia`, `TooLarge` or `InputError`."""
        require_json(self.headers)
        body = await read_body(self.receive, self.headers, max_bytes, timeout_s)
        self.body_done = True
        return body

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name; one that is sent twice is joined by ', ' (RFC 9110, 5.3)."""
        found: dict[str, str] = {}
        for raw_name, raw in self.scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def address(self) -> str:
        """Where the connection comes from; uvicorn takes it from a trusted proxy's header if there is one."""
        client = self.scope.get("client")
        return client[0] if client else "unknown"


@dataclass(frozen=True, slots=True)
class Response:
    """Bytes, or chunks of them when `stream` is set. `close` ends the connection after it."""

    status: int
    body: bytes = b""
    headers: Headers = (JSON_TYPE,)
    stream: AsyncGenerator[bytes, None] | None = field(default=None, repr=False)
    close: bool = False


def dump(value: object) -> bytes:
    """JSON in UTF-8 without spaces; NaN is refused."""
    return _ENCODER.encode(value).encode("utf-8")


def respond(value: object, status: int = 200, *headers: tuple[bytes, bytes]) -> Response:
    return Response(status, dump(value), (JSON_TYPE, *headers))


def new_id() -> str:
    """32 hex digits: milliseconds since 1970, then 80 random bits. Later ids sort after earlier ones."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
