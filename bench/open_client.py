"""An open-loop HTTP/1.1 client: requests go out at their times, whether or not the last answer is in.

Times count from when a request should have gone out, so that a server that stalls cannot hide it.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from bench.loop_client import Connection, Measured, percentile


async def measure_at(port: int, requests: Sequence[bytes], per_second: float, seconds: float) -> Measured:
    """So many requests a second for so long, over as many kept connections as it takes."""
    idle: list[Connection] = []

    async def ask(number: int) -> None:
        connection = idle.pop() if idle else await Connection.to(port)
        await connection.ask(requests[number % len(requests)])
        idle.append(connection)

    try:
        return await measure_calls_at(ask, per_second, seconds)
    finally:
        for connection in idle:
            connection.close()


async def measure_calls_at(
    ask: Callable[[int], Awaitable[object]], per_second: float, seconds: float
) -> Measured:
    """The same for any client: `ask` gets the number of the request."""

    async def send(number: int, due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await ask(number)
        return 1000 * (time.perf_counter() - due)

    started = time.perf_counter()
    total = int(per_second * seconds)
    taken = await asyncio.gather(*(send(n, started + n / per_second) for n in range(total)))
    elapsed = time.perf_counter() - started
    return Measured(statistics.median(taken), percentile(taken, 0.99), total / elapsed, total)
