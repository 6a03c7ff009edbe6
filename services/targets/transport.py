"""The wire to a cloud endpoint, with bounds that the client library does not have.

No redirect is followed (a redirect to another host would be a hop that no policy permitted), nothing
compressed is taken (a small body may hide a huge one), and a body above `max_bytes` is cut off.
"""

from collections.abc import AsyncIterator

import httpx2

EVENT_STREAM = "text/event-stream"
STREAM_FACTOR = 8
"""How many times as many bytes a stream may have: each few characters come in an event of 300 bytes."""


class BodyTooLarge(httpx2.ReadError):
    """More bytes than an answer may have."""


class BodyEncoded(httpx2.ReadError):
    """A compressed body although none was asked for."""


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Wraps a transport and bounds every response body, by its length as announced and as read."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        streamed = request.headers.get("accept") == EVENT_STREAM
        max_bytes = self._max_bytes * (STREAM_FACTOR if streamed else 1)
        problem = _refusal(response, max_bytes)
        if problem is not None:
            await response.aclose()
            raise problem
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream, max_bytes)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _refusal(response: httpx2.Response, max_bytes: int) -> httpx2.ReadError | None:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return BodyEncoded("compressed")
    length = response.headers.get("content-length", "0")
    if length.isdigit() and int(length) > max_bytes:
        return BodyTooLarge("too large")
    return None


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._inner = inner
        self._left = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise BodyTooLarge("too large")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def bounded_client(max_bytes: int, max_connections: int = 100) -> httpx2.AsyncClient:
    """A client for one endpoint. It takes no proxy, certificate or login from the environment."""
    limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    inner = httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
    return httpx2.AsyncClient(
        transport=BoundedTransport(inner, max_bytes),
        follow_redirects=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
    )
