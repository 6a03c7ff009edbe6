"""A whole, locally answered request beside a bare BentoML echo; also a bare uvicorn echo, the limit.

All on loopback, one worker each, in interleaved rounds: a ratio is the median of the rounds' ratios.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench.event_traffic import bodies_now
from bench.loop_client import Measured, ask, measure, request_bytes
from bench.results import Figure, Found
from bench.worker import worker_memory_mib
from feature_checks.datasets import load_labelled
from feature_checks.usecase import UseCase
from flows.processes import Server, free_port, orchestrator
from registry.settings import RegistrySettings
from services import keys
from services.state.api_keys import ApiKeys
from services.state.database import Database

CONNECTIONS = (1, 16)
CANDIDATES = 200
MESSAGES = 50
EVENTS = 20_000

Rounds = dict[str, dict[int, list[Measured]]]


async def measure_request(
    usecase: UseCase,
    settings: RegistrySettings,
    scratch: Path,
    rounds: int,
    seconds: float,
    at_most: float = 1.0,
) -> Found:
    """Serve from the home of `settings`, whose model answers locally; so many rounds of so long each.

    `at_most`: how often a bare BentoML echo's median is asked for.
    """
    ports = {name: free_port(0) for name in ("switchyard", "bentoml", "uvicorn")}
    with ExitStack() as stack:
        started = time.monotonic()
        env = {"SWITCHYARD_WORKERS": "1", "SWITCHYARD_HOME": str(settings.home)}
        stack.enter_context(orchestrator(scratch, ports["switchyard"], env)).wait_ready()
        ready_s = time.monotonic() - started
        before = worker_memory_mib()
        for echo in (_bento_echo(scratch, ports["bentoml"]), _uvicorn_echo(scratch, ports["uvicorn"])):
            stack.enter_context(echo).wait_ready()
        requests = await _requests(usecase, settings, ports)
        for name, port in ports.items():
            await measure(port, requests[name], 1, seconds / 4)  # warm up
        raw: Rounds = {name: {c: [] for c in CONNECTIONS} for name in ports}
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for name, port in ports.items():
                    raw[name][connections].append(await measure(port, requests[name], connections, seconds))
        memory = max(before, worker_memory_mib())
    return Found(
        "a locally answered request, everything switched on",
        (
            *_figures(raw, at_most),
            Figure("memory of a worker, MiB", memory, 600),
            Figure("ready after, s", ready_s, 15),
        ),
        {n: {str(c): [asdict(m) for m in ms] for c, ms in by.items()} for n, by in raw.items()},
    )


def issue_key(home: Path, tenant: str = "bench") -> str:
    """A new caller's key, good for a day."""
    key, record = keys.issue(tenant, ["caller"], keys.utc_now(), expires_days=1)
    with Database(home / "state.db") as database:
        ApiKeys(database).add(record)
    return key


def bodies(usecase: UseCase, data: Path) -> list[tuple[dict[str, object], bytes]]:
    """Input fields and native request body of the first messages of the sample's test rows."""
    rows = load_labelled(usecase, "sample", data).test.to_dict("records")
    inputs = [{name: row[name] for name in usecase.input} for row in rows[:CANDIDATES]]
    return [(one, json.dumps({"use_case": usecase.name, "input": one}).encode()) for one in inputs]


async def of_route(
    route: str, usecase: UseCase, home: Path, port: int
) -> list[tuple[dict[str, object], bytes]]:
    """Messages that this server answers by `route`: their input fields, and the whole request."""
    authorization = {"authorization": f"Bearer {issue_key(home)}"}
    found = []
    for fields, body in bodies(usecase, home / "data"):
        request = request_bytes(port, "/v1/decide", body, authorization)
        if json.loads(await ask(port, request))["route"] == route:
            found.append((fields, request))
            if len(found) == MESSAGES:
                break
    if not found:
        raise SystemExit(f"none of {CANDIDATES} messages was answered by '{route}'; is all set up well?")
    return found


async def _requests(
    usecase: UseCase, settings: RegistrySettings, ports: dict[str, int]
) -> dict[str, Sequence[bytes]]:
    """The same locally answered messages for each server, in its own form."""
    if usecase.features is not None:
        local = _of_now(usecase, settings.home, ports["switchyard"])
    else:
        local = await of_route("local", usecase, settings.home, ports["switchyard"])
    same = [json.dumps({"text": json.dumps(fields)}).encode() for fields, _ in local]
    echoes = {
        name: [request_bytes(ports[name], "/echo", body, {}) for body in same]
        for name in ("bentoml", "uvicorn")
    }
    return {"switchyard": [request for _, request in local], **echoes}


def _of_now(usecase: UseCase, home: Path, port: int) -> list[tuple[dict[str, object], bytes]]:
    """A new event for each request: one that comes twice would be told from its id, and not be counted."""
    authorization = {"authorization": f"Bearer {issue_key(home)}"}
    return [
        (fields, request_bytes(port, "/v1/decide", body, authorization))
        for fields, body in bodies_now(usecase, home / "data", EVENTS)
    ]


def _bento_echo(scratch: Path, port: int) -> Server:
    return Server(
        "BentoML echo",
        [sys.executable, "-m", "bentoml", "serve", "bench.echo_service:Echo", "--port", str(port)],
        f"http://127.0.0.1:{port}/livez",
        scratch / "bentoml-echo.log",
        {"BENTOML_HOME": str(scratch / "bentoml-echo")},
    )


def _uvicorn_echo(scratch: Path, port: int) -> Server:
    return Server(
        "uvicorn echo",
        [sys.executable, "-m", "bench.echo_uvicorn", str(port)],
        f"http://127.0.0.1:{port}/livez",
        scratch / "uvicorn.log",
    )


def _figures(raw: Rounds, at_most: float) -> tuple[Figure, ...]:
    ours = raw["switchyard"]
    shown = [
        Figure(f"{name}: p50 ms at 1 connection", _median([m.p50_ms for m in raw[name][1]])) for name in raw
    ]
    shown += [
        Figure(f"{name}: requests/s at 16 connections", _median([m.per_second for m in raw[name][16]]))
        for name in raw
    ]
    return (
        *shown,
        Figure("median, to a bare BentoML echo", _ratio(raw, "bentoml", 1, "p50_ms"), at_most),
        Figure(
            "throughput at 16, to a bare BentoML echo",
            _ratio(raw, "bentoml", 16, "per_second"),
            1.0,
            "at least",
        ),
        Figure("p99 to our own median", _median([m.p99_ms / m.p50_ms for m in ours[1]]), 4.0),
        Figure("median, to a bare uvicorn echo (the limit)", _ratio(raw, "uvicorn", 1, "p50_ms")),
        Figure(
            "throughput at 16, to a bare uvicorn echo (the limit)", _ratio(raw, "uvicorn", 16, "per_second")
        ),
    )


def _ratio(raw: Rounds, other: str, connections: int, figure: str) -> float:
    pairs = zip(raw["switchyard"][connections], raw[other][connections], strict=True)
    return _median([getattr(ours, figure) / getattr(theirs, figure) for ours, theirs in pairs])


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)
