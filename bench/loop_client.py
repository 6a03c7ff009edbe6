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
    taken = [1000 * t for one in times for t in one]
    return Measured(statistics.median(taken), percentile(taken, 0.99), len(taken) / elapsed, len(taken))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not pass."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def ask(port: int, request: bytes) -> bytes:
    """One request over a connection of its own; its body."""
    connection = await Connection.to(port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Connection:
    """One kept connection, for one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        return await _answer(self.reader)

    def close(self) -> None:
        self.writer.close()


async def _one(port: int, requests: Sequence[bytes], offset: int, until: float) -> list[float]:
    connection = await Connection.to(port)
    times: list[float] = []
    number = offset
    try:
        while (begin := time.perf_counter()) < until:
            await connection.ask(requests[number % len(requests)])
            times.append(time.perf_counter() - begin)
            number += 1
    finally:
        connection.close()
    return times


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:300].decode('utf-8', 'replace')}")
    return body
