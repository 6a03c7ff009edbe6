"""What the cloud path adds to calling the endpoint directly, at 50 requests a second, open-loop.

The endpoint is a scripted one in a process of its own that answers at once. The same raw client asks it
directly and through the orchestrator, in interleaved rounds of the same run. So does the openai library,
directly: what an application would call with, and what the orchestrator itself asks with.
"""

import json
import statistics
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from openai import AsyncOpenAI

from bench.loop_client import Measured, request_bytes
from bench.open_client import measure_at, measure_calls_at
from bench.request import of_route
from bench.results import Figure, Found
from bench.sample_model import place_sample_model
from bench.scripted_endpoint import MODEL
from feature_checks.usecase import UseCase
from flows.processes import Server, free_port, orchestrator

PER_SECOND = 50


async def measure_cloud(usecase: UseCase, scratch: Path, rounds: int, seconds: float) -> Found:
    """So many rounds of so long each, with a local model that leaves every message to the cloud."""
    home = scratch / "cloud-home"
    place_sample_model(home, usecase, scratch / "cloud-model", threshold=1.1)
    ports = {"through": free_port(0), "direct": free_port(0)}
    with ExitStack() as stack:
        stack.enter_context(_endpoint(usecase, scratch, ports["direct"])).wait_ready()
        env = {
            "SWITCHYARD_WORKERS": "1",
            "SWITCHYARD_HOME": str(home),
            "SWITCHYARD_ENDPOINTS": json.dumps(_settings(usecase, ports["direct"])),
        }
        stack.enter_context(orchestrator(scratch / "cloud", ports["through"], env)).wait_ready()
        cloud = f"cloud/{usecase.cloud.endpoints[0]}" if usecase.cloud else "cloud"
        through = await of_route(cloud, usecase, home, ports["through"])
        direct = [
            request_bytes(ports["direct"], "/v1/chat/completions", _question(fields), {})
            for fields, _ in through
        ]
        requests = {"through": [request for _, request in through], "direct": direct}
        raw: dict[str, list[Measured]] = {name: [] for name in (*ports, "library")}
        questions = [json.dumps(fields) for fields, _ in through]
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{ports['direct']}/v1", api_key="none") as client:

            async def call(number: int) -> object:
                said = questions[number % len(questions)]
                return await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": said}]
                )

            for name, port in ports.items():
                await measure_at(port, requests[name], PER_SECOND, 1.0)  # warm up
            await measure_calls_at(call, PER_SECOND, 1.0)
            for _ in range(rounds):
                for name, port in ports.items():
                    raw[name].append(await measure_at(port, requests[name], PER_SECOND, seconds))
                raw["library"].append(await measure_calls_at(call, PER_SECOND, seconds))
    return Found(
        f"a cloud answer, {PER_SECOND} requests a second",
        _figures(raw),
        {name: [asdict(measured) for measured in many] for name, many in raw.items()},
    )


def _figures(raw: dict[str, list[Measured]]) -> tuple[Figure, ...]:
    return (
        Figure("direct: p50 ms", statistics.median(m.p50_ms for m in raw["direct"])),
        Figure("direct: p99 ms", statistics.median(m.p99_ms for m in raw["direct"])),
        Figure("direct by the openai library: p50 ms", statistics.median(m.p50_ms for m in raw["library"])),
        Figure("added to the median of a raw client, ms", _added(raw, "direct"), 4),
        Figure("added to the median of the openai library, ms", _added(raw, "library"), 4),
        Figure("p99 of the whole answer, ms", statistics.median(m.p99_ms for m in raw["through"]), 13),
    )


def _added(raw: dict[str, list[Measured]], to: str) -> float:
    pairs = zip(raw["through"], raw[to], strict=True)
    return statistics.median(through.p50_ms - other.p50_ms for through, other in pairs)


def _endpoint(usecase: UseCase, scratch: Path, port: int) -> Server:
    return Server(
        "scripted endpoint",
        [sys.executable, "-m", "bench.scripted_endpoint", str(port), usecase.name],
        f"http://127.0.0.1:{port}/livez",
        scratch / "endpoint.log",
    )


def _settings(usecase: UseCase, port: int) -> dict[str, object]:
    one = {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "model": MODEL,
        "usd_per_million_input": 0.1,  # priced, so that money is reserved and settled
        "usd_per_million_output": 0.4,
    }
    return dict.fromkeys(usecase.cloud.endpoints if usecase.cloud else (), one)


def _question(fields: dict[str, object]) -> bytes:
    return json.dumps(
        {"model": MODEL, "messages": [{"role": "user", "content": json.dumps(fields)}]}
    ).encode()
