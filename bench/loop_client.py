"""A closed-loop HTTP/1.1 client on raw sockets: the next request goes out when the last answer is in.

HTTP libraries for Python take longer than what is measured here.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """One round: milliseconds a request, and requests a second over all connections."""

    p50_ms: float
    p99_ms: float
    per_second: float
    requests: int


def request_bytes(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST of JSON, ready to be written."""
    lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def measure(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Measured:
    """Send `requests` in turn over so many connections for so long. Raises on any status but 200."""
    until = time.perf_counter() + seconds
    started = time.perf_counter()
    times = await asyncio.gather(*(_one(port, requests, n, until) for n in range(connections)))
    elapsed = time.perf_counter() - started
    taken = sorted(1000 * t for one in times for t in one)
    p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    return Measured(statistics.median(taken), p99, len(taken) / elapsed, len(taken))


async def ask(port: int, request: bytes) -> bytes:
    """One request over a connection of its own; its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await _answer(reader)
    finally:
        writer.close()


async def _one(port: int, requests: Sequence[bytes], offset: int, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times: list[float] = []
    number = offset
    try:
        while (begin := time.perf_counter()) < until:
            writer.write(requests[number % len(requests)])
            await _answer(reader)
            times.append(time.perf_counter() - begin)
            number += 1
    finally:
        writer.close()
    return times


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:300].decode('utf-8', 'replace')}")
    return body
