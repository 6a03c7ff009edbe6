"""Request heads within bounds of time and size: what uvicorn's own protocol does not have.

A connection on which no request is at work must bring a whole request head in time, counted from its
first byte; a few bytes now and then (slowloris), blank lines or the rest of a body that nobody reads
do not keep it open. uvicorn's keep-alive limit ends those that bring nothing at all.
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.api.messages import dump, new_id

MAX_HEAD_BYTES = 32 * 1024  # request line and headers

_HEADERS = (b"content-type: application/json", b"cache-control: no-store", b"connection: close")


def bound_request_heads(timeout_s: float) -> None:
    """From now on uvicorn servers of this process that choose their protocol themselves use this one."""
    BoundedHeads.timeout_s = timeout_s
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedHeads.__name__}"


class HeadTooLargeError(Exception):
    """Raised inside the parser, which then stops."""


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's httptools protocol with a clock and a scale for heads. One for each connection."""

    timeout_s: ClassVar[float] = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True  # between requests too: what comes next is a head
        self._began = False  # the parser has seen the first bytes of a head
        self._held = 0  # bytes that came since the last message ended
        self._read = 0  # bytes of it that the parser handed over
        self._too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._held += len(data)
        super().data_received(data)
        if self._in_head and self._held > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_size()
        if self._in_head or self.cycle is None or self.cycle.response_complete:
            self._start_clock()

    def on_message_begin(self) -> None:
        self._began = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._weigh(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = self._began = False
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._held, self._read = True, 0, 0

    def send_400_response(self, msg: str) -> None:
        if self._too_large:
            self._refuse_size()
        else:
            super().send_400_response(msg)

    def _weigh(self, size: int) -> None:
        self._read += size
        if self._read > MAX_HEAD_BYTES:
            self._too_large = True
            raise HeadTooLargeError

    def _start_clock(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(self.timeout_s, self._time_is_over)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_over(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_clock()  # an answer is on its way: it is not cut short
        elif self._began or (self._in_head and self._held):
            message = f"the request's head did not arrive within {self.timeout_s:g} s"
            self._refuse(b"408 Request Timeout", "head_timeout", message)
        else:
            self.transport.close()

    def _refuse_size(self) -> None:
        message = f"the request's head is larger than {MAX_HEAD_BYTES} bytes"
        self._refuse(b"431 Request Header Fields Too Large", "head_too_large", message)

    def _refuse(self, status: bytes, type_: str, message: str) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else another answer is under way here
            body = dump({"error": {"type": type_, "message": message, "request_id": new_id()}})
            length = str(len(body)).encode()
            head = (b"HTTP/1.1 " + status, *_HEADERS, b"content-length: " + length, b"", body)
            self.transport.write(b"\r\n".join(head))
        self.transport.close()
