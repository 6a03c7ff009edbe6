"""`python -m bench.request [--json]`: a whole, locally answered request beside a bare BentoML echo.

Both in the same run on loopback, one worker each, in interleaved rounds; also a bare uvicorn echo, the
limit. Medians of the rounds, their ratios, and the raw figures in `bench-results/`. Measured with the
champion that is placed under SWITCHYARD_HOME; where there is none, or it may answer nothing by itself,
with a model of the sample that accepts every message.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.loop_client import Measured, ask, measure, request_bytes
from bench.sample_model import place_sample_model
from feature_checks.datasets import load_labelled
from feature_checks.usecase import UseCase, list_usecases, load_usecase
from flows.processes import Server, free_port, orchestrator
from registry.errors import RegistryError
from registry.loading import load_placed
from registry.settings import RegistrySettings
from services import keys
from services.state.api_keys import ApiKeys
from services.state.database import Database

RESULTS = Path("bench-results")
CONNECTIONS = (1, 16)
CANDIDATES = 200
MESSAGES = 50


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.request", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("usecase", nargs="?", default=(list_usecases() or [""])[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    usecase = load_usecase(asked.usecase)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-bench-")))
        settings, model = _model(usecase, scratch)
        found = asyncio.run(_run(stack, usecase, settings, scratch, asked.rounds, asked.seconds))
    found["model"] = model
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"request-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(json.dumps(found) + "\n" if asked.json else _table(found) + f"\nraw figures: {file}\n")
    return 0


async def _run(
    stack: ExitStack, usecase: UseCase, settings: RegistrySettings, scratch: Path, rounds: int, seconds: float
) -> dict[str, Any]:
    ports = {name: free_port(0) for name in ("switchyard", "bentoml", "uvicorn")}
    env = {"SWITCHYARD_WORKERS": "1", "SWITCHYARD_HOME": str(settings.home)}
    servers = (
        orchestrator(scratch, ports["switchyard"], env),
        _bento_echo(scratch, ports["bentoml"]),
        Server(
            "uvicorn echo",
            [sys.executable, "-m", "bench.echo_uvicorn", str(ports["uvicorn"])],
            f"http://127.0.0.1:{ports['uvicorn']}/livez",
            scratch / "uvicorn.log",
        ),
    )
    for server in servers:
        stack.enter_context(server)
        server.wait_ready()
    requests = await _requests(usecase, settings, ports)
    for name, port in ports.items():
        await measure(port, requests[name], 1, seconds / 4)  # warm up
    raw: dict[str, dict[int, list[Measured]]] = {name: {c: [] for c in CONNECTIONS} for name in ports}
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for name, port in ports.items():
                raw[name][connections].append(await measure(port, requests[name], connections, seconds))
    return _summary(usecase, raw)


async def _requests(
    usecase: UseCase, settings: RegistrySettings, ports: dict[str, int]
) -> dict[str, Sequence[bytes]]:
    """The same locally answered messages for each server, in its own form."""
    key, record = keys.issue("bench", ["caller"], keys.utc_now(), expires_days=1)
    with Database(settings.home / "state.db") as database:
        ApiKeys(database).add(record)
    rows = load_labelled(usecase, "sample", settings.home / "data").test.to_dict("records")
    local: list[bytes] = []
    echo: dict[str, list[bytes]] = {"bentoml": [], "uvicorn": []}
    port = ports["switchyard"]
    for row in rows[:CANDIDATES]:
        fields = {name: row[name] for name in usecase.input}
        body = json.dumps({"use_case": usecase.name, "input": fields}).encode()
        request = request_bytes(port, "/v1/decide", body, {"authorization": f"Bearer {key}"})
        if json.loads(await ask(port, request))["route"] != "local":
            continue
        local.append(request)
        same = json.dumps({"text": json.dumps(fields)}).encode()
        for name in echo:
            echo[name].append(request_bytes(ports[name], "/echo", same, {}))
        if len(local) == MESSAGES:
            break
    if not local:
        raise SystemExit(f"none of {CANDIDATES} rows was answered locally; is the model any good?")
    return {"switchyard": local, **echo}


def _bento_echo(scratch: Path, port: int) -> Server:
    home = scratch / "bentoml-echo"
    return Server(
        "BentoML echo",
        [sys.executable, "-m", "bentoml", "serve", "bench.echo_service:Echo", "--port", str(port)],
        f"http://127.0.0.1:{port}/livez",
        scratch / "bentoml-echo.log",
        {"BENTOML_HOME": str(home)},
    )


def _model(usecase: UseCase, scratch: Path) -> tuple[RegistrySettings, str]:
    """The home to serve from, and which model it holds."""
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    settings = RegistrySettings()
    try:
        champion = load_placed(usecase.local.model, "champion", settings)
        if champion.acceptance.threshold <= 1:
            return settings, f"champion, version {champion.ref.version}"
        why = "the champion may answer nothing by itself"
    except RegistryError as error:
        why = str(error).split(";")[0]
    sys.stderr.write(f"{why}: measuring with a model of the sample\n")
    settings = RegistrySettings(home=scratch / "home")
    place_sample_model(settings.home, usecase, scratch / "model", threshold=0.0)
    return settings, "fitted on the sample, accepts every message"


def _summary(usecase: UseCase, raw: dict[str, dict[int, list[Measured]]]) -> dict[str, Any]:
    medians = {
        name: {
            str(connections): {
                figure: round(statistics.median(getattr(one, figure) for one in rounds), 3)
                for figure in ("p50_ms", "p99_ms", "per_second")
            }
            for connections, rounds in by.items()
        }
        for name, by in raw.items()
    }
    ours, echo, limit = (medians[name] for name in ("switchyard", "bentoml", "uvicorn"))
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "use_case": usecase.name,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "medians": medians,
        "ratios": {
            "latency_to_bentoml_echo": round(ours["1"]["p50_ms"] / echo["1"]["p50_ms"], 3),
            "throughput_16_to_bentoml_echo": round(ours["16"]["per_second"] / echo["16"]["per_second"], 3),
            "latency_to_uvicorn_echo": round(ours["1"]["p50_ms"] / limit["1"]["p50_ms"], 3),
            "throughput_16_to_uvicorn_echo": round(ours["16"]["per_second"] / limit["16"]["per_second"], 3),
            "p99_to_own_median": round(ours["1"]["p99_ms"] / ours["1"]["p50_ms"], 3),
        },
        "rounds": {n: {str(c): [asdict(m) for m in ms] for c, ms in by.items()} for n, by in raw.items()},
    }


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':12}{'1 connection':>26}{'16 connections':>28}"]
    lines.append(
        f"{'':12}{'p50 ms':>9}{'p99 ms':>9}{'req/s':>8}" + f"{'p50 ms':>11}{'p99 ms':>9}{'req/s':>8}"
    )
    for name, by in found["medians"].items():
        one, many = by["1"], by["16"]
        lines.append(
            f"{name:12}{one['p50_ms']:9.2f}{one['p99_ms']:9.2f}{one['per_second']:8.0f}"
            f"{many['p50_ms']:11.2f}{many['p99_ms']:9.2f}{many['per_second']:8.0f}"
        )
    lines += [f"{name.replace('_', ' '):34}{value:8.2f}" for name, value in found["ratios"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
