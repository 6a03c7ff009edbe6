"""Does a request cost more where there is more? Journal, tenants and use cases, few beside many.

In one process, over the ASGI app, without a network: two whole runtimes of which one has more, asked in
turn. No caller's key is remembered here (`key_cache_s=0`), so that every request looks its tenant up.
"""

import asyncio
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.request import bodies
from bench.results import Figure, Found
from bench.sample_model import place_sample_model
from feature_checks.usecase import UseCase
from services import keys
from services.api.app import Dispatcher
from services.bootstrap import Edges, bootstrap
from services.detection import detector_of
from services.evidence.running import journal_stamp
from services.journal_file import JournalFile
from services.journal_reader import read_entries
from services.runtime import Runtime
from services.settings import ServiceSettings
from services.state.api_keys import ApiKeys
from services.state.database import Database

RECORDS = 50_000
TENANTS = 10_000
USE_CASES = 100
FEW = 10
BLOCK = 150


@dataclass(frozen=True, slots=True)
class Asked:
    """One runtime and the requests to put to it: key and body."""

    dispatcher: Dispatcher
    requests: Sequence[tuple[str, bytes]]

    async def times_ms(self, start: int) -> list[float]:
        """One block of requests, one after the other."""
        return [
            await _time(self.dispatcher, *self.requests[n % len(self.requests)])
            for n in range(start, start + BLOCK)
        ]


async def measure_growth(usecase: UseCase, scratch: Path, rounds: int) -> Found:
    """`rounds` rounds for each of the three."""
    home = scratch / "growth"
    place_sample_model(home, usecase, scratch / "growth-model", threshold=0.0)
    figures, raw = [], {}
    async with AsyncExitStack() as stack:
        few = await _few(stack, usecase, home)
        await few.times_ms(0)  # leaves records to copy, too
        for name, title, make in (
            ("journal", f"a journal of {RECORDS:,} records", _long_journal),
            ("tenants", f"{TENANTS:,} tenants, another one each time", _many_tenants),
            ("use_cases", f"{USE_CASES} use cases, another one each time", _many_usecases),
        ):
            many = await make(stack, usecase, home, scratch / name)
            ratios = await _ratios(few, many, rounds)
            figures.append(Figure(f"{title}: to few", statistics.median(ratios), 1.1))
            raw[name] = ratios
    return Found("does a request cost more where there is more?", tuple(figures), raw)


async def _ratios(few: Asked, many: Asked, rounds: int) -> list[float]:
    await many.times_ms(0)
    found = []
    for number in range(1, rounds + 1):
        one = statistics.median(await few.times_ms(number * BLOCK))
        other = statistics.median(await many.times_ms(number * BLOCK))
        found.append(round(other / one, 3))
    return found


async def _few(stack: AsyncExitStack, usecase: UseCase, home: Path) -> Asked:
    runtime = await _runtime(stack, _settings(home, usecase.root.parent))
    return Asked(Dispatcher(runtime), _requests(usecase, home, _tenants(home, FEW), [usecase.name]))


async def _long_journal(stack: AsyncExitStack, usecase: UseCase, home: Path, own: Path) -> Asked:
    """As many records as a busy hour leaves, all shipped before it is measured."""
    shutil.copytree(home, own, ignore=shutil.ignore_patterns("journal", "decisions.db*", "checkpoints"))
    settings = _settings(own, usecase.root.parent)
    before = next(e.record for e in read_entries(home / "journal") if e.record["kind"] == "decision")
    content = {k: v for k, v in before.items() if k not in ("kind", "seq", "ts", "prev", "content_sha256")}
    file = JournalFile.create(settings.journal_dir, "start", None, journal_stamp(settings))
    for number in range(RECORDS):
        file.append("decision", {**content, "id": f"{number:032x}"})
    file.close()
    runtime = await _runtime(stack, settings)
    async with asyncio.timeout(120):
        # Nothing tells of the end of a round but the metric.
        while b"switchyard_shipping_behind_bytes 0.0" not in runtime.telemetry.page():  # noqa: ASYNC110  — as said
            await asyncio.sleep(0.2)
    return Asked(Dispatcher(runtime), _requests(usecase, home, _tenants(own, FEW), [usecase.name]))


async def _many_tenants(stack: AsyncExitStack, usecase: UseCase, home: Path, own: Path) -> Asked:
    shutil.copytree(home, own, ignore=shutil.ignore_patterns("journal", "decisions.db*", "checkpoints"))
    runtime = await _runtime(stack, _settings(own, usecase.root.parent))
    return Asked(Dispatcher(runtime), _requests(usecase, home, _tenants(own, TENANTS), [usecase.name]))


async def _many_usecases(stack: AsyncExitStack, usecase: UseCase, home: Path, own: Path) -> Asked:
    shutil.copytree(home, own, ignore=shutil.ignore_patterns("journal", "decisions.db*", "checkpoints"))
    names = [f"{usecase.name}-{number}" for number in range(USE_CASES)]
    for name in names:
        shutil.copytree(usecase.root, own / "usecases" / name)
        file = own / "usecases" / name / "usecase.yaml"
        file.write_text(file.read_text().replace(f"name: {usecase.name}\n", f"name: {name}\n", 1))
    runtime = await _runtime(stack, _settings(own, own / "usecases"))
    return Asked(Dispatcher(runtime), _requests(usecase, home, _tenants(own, FEW), names))


def _settings(home: Path, usecases: Path) -> ServiceSettings:
    return ServiceSettings(home=home, usecases_dir=usecases, key_cache_s=0.0, shipping_s=0.1)


async def _runtime(stack: AsyncExitStack, settings: ServiceSettings) -> Runtime:
    edges = Edges(detector=detector_of(settings))
    return await stack.enter_async_context(bootstrap(settings, edges))


def _tenants(home: Path, count: int) -> list[str]:
    """Their keys."""
    made = [keys.issue(f"tenant-{n}", ["caller"], keys.utc_now(), expires_days=1) for n in range(count)]
    with Database(home / "state.db") as database:
        store = ApiKeys(database)
        for _, record in made:
            store.add(record)
    return [key for key, _ in made]


def _requests(
    usecase: UseCase, home: Path, callers: Sequence[str], names: Sequence[str]
) -> list[tuple[str, bytes]]:
    inputs = [fields for fields, _ in bodies(usecase, home / "data")]
    total = max(len(inputs), len(callers), len(names))
    return [
        (
            callers[n % len(callers)],
            json.dumps({"use_case": names[n % len(names)], "input": inputs[n % len(inputs)]}).encode(),
        )
        for n in range(total)
    ]


async def _time(dispatcher: Dispatcher, key: str, body: bytes) -> float:
    """Milliseconds until the answer is whole. Raises on any status but 200."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"authorization", f"Bearer {key}".encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/decide", "headers": headers, "client": None}
    started = time.perf_counter()
    await dispatcher(scope, receive, send)
    taken = 1000 * (time.perf_counter() - started)
    if sent[0]["status"] != 200:
        raise RuntimeError(f"{sent[0]['status']}: {sent[-1]['body'][:300]!r}")
    await asyncio.sleep(0)
    return taken
