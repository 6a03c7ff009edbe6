"""`python -m bench.rollouts [shadow] [canary]`: what a hanging shadow adds, how soon a bad canary is back.

`shadow`: the same messages through two whole pipelines in one process, request by request in turn; one has a
candidate in shadow that hangs. `canary`: two workers of `bentoml serve`, 50 requests a second, 5 % of them to
a candidate that confuses a fifth of its labels; callers say of each answer whether it was right, and a
controller ticks every second. Prints JSON.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx

from bench.candidates import as_it_is, place_candidate, wrong_in_a_fifth
from bench.sample_model import place_sample_model
from feature_checks.datasets import load_labelled
from feature_checks.usecase import UseCase, load_usecase
from flows.processes import free_port, orchestrator
from registry.loading import LoadedModel
from registry.records import ModelRef, Prediction
from registry.rollout import Move, Rollout, State, started
from registry.rollout_moves import ask
from registry.rollout_store import Rollouts
from registry.rollout_tick import tick
from registry.settings import RegistrySettings
from registry.versions import load_version
from services import keys
from services.bootstrap import Edges, bootstrap
from services.runtime import Runtime
from services.settings import load_settings
from services.state.api_keys import ApiKeys
from services.state.database import Database
from services.values import Call, Caller, Context

ROUNDS = 3000
PER_SECOND = 50.0
WITHIN_S = 60.0
LABELS = 10


class _Hanging:
    """A candidate that never answers."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        threading.Event().wait()
        raise AssertionError("it waits forever")


class _Versions:
    """Version 1 as it was placed; version 2 hangs."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings

    def load(self, name: str, version: str) -> LoadedModel:
        loaded = load_version(name, "1", self._settings)
        if version == "1":
            return loaded
        given = {field: getattr(loaded, field) for field in LoadedModel.__dataclass_fields__}
        return LoadedModel(**{**given, "predictor": _Hanging(loaded.labels)})

    def revoked(self, loaded: LoadedModel) -> bool:
        return False

    def champion(self, name: str) -> str | None:
        return "1"


def begin(home: Path, component: str, candidate: str, steps: tuple[float, ...], moves: int) -> None:
    """A rollout of `candidate` against version 1, so many steps on."""
    rollout = Rollout(
        id="be" * 16, component=component, stable="1", candidate=candidate, steps=steps,
        step_since_s=time.time(),
    )  # fmt: skip
    with Rollouts(home / "rollouts.db") as kept:
        kept.start(rollout, started(rollout, by="bench", reason="to measure"))
        for _ in range(moves):
            ask(kept, component, Move.ADVANCE, by="bench", reason="to measure", at_s=time.time())


async def measure_shadow(usecase: UseCase, scratch: Path) -> dict[str, Any]:
    """Median latency of `decide` with a hanging shadow, to that without any rollout."""
    homes = [scratch / name for name in ("without", "with")]
    place_sample_model(homes[0], usecase, scratch / "model", threshold=0.0)
    copytree(homes[0], homes[1])
    begin(homes[1], f"{usecase.name}/local", "2", (100.0,), 0)
    rows = load_labelled(usecase, "sample", scratch / "data").test.to_dict("records")
    inputs = [{name: row[name] for name in usecase.input} for row in rows[:200]]
    took: list[list[float]] = [[], []]
    open_ = [_runtime(home) for home in homes]
    async with open_[0] as without, open_[1] as with_:
        for i, fields in zip(range(ROUNDS), itertools.cycle(inputs), strict=False):
            order = (0, 1) if i % 2 else (1, 0)
            for which in order:
                runtime = (without, with_)[which]
                took[which].append(await _decide(runtime, usecase, fields, i))
        page = with_.telemetry.page().decode()
    medians = [statistics.median(times) * 1000 for times in took]
    p99 = [statistics.quantiles(times, n=100)[98] * 1000 for times in took]
    dropped = next((line for line in page.splitlines() if 'what="dropped"' in line), "none")
    return {
        "median_ms_without": round(medians[0], 4), "median_ms_hanging": round(medians[1], 4),
        "ratio": round(medians[1] / medians[0], 4), "at_most": 1.05,
        "p99_ms": [round(one, 3) for one in p99], "copies": dropped,
    }  # fmt: skip


def _runtime(home: Path) -> Runtime:
    settings = load_settings(home=home, shipping=False)
    return bootstrap(settings, Edges(versions=_Versions(RegistrySettings(home=home)), endpoints={}))


async def _decide(runtime: Runtime, usecase: UseCase, fields: Mapping[str, object], number: int) -> float:
    served = runtime.pipeline.use_cases[usecase.name].usecase
    caller = Caller("bench", "key", frozenset({"caller"}))
    context = Context(subject=f"person {number}")
    call = Call(f"{number:032x}", served, caller, fields, context, time.monotonic() + 30)
    begun = time.perf_counter()
    await runtime.pipeline.decide(call)
    took = time.perf_counter() - begun
    await asyncio.sleep(0)  # what runs after the answer runs now, in nobody's time
    return took


@contextmanager
def _ticking(home: Path, ended: dict[str, Any], begun: float) -> Iterator[None]:
    """A controller in a thread of its own: one tick a second."""
    over = threading.Event()

    def work() -> None:
        with Rollouts(home / "rollouts.db") as kept:
            while not over.wait(1.0):
                for ticked in tick(kept, by="bench", at_s=time.time()):
                    if ticked.record is not None and ticked.record.after == State.ROLLED_BACK:
                        ended.update(seconds=round(time.monotonic() - begun, 1), reason=ticked.record.reason)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


async def measure_canary(usecase: UseCase, scratch: Path) -> dict[str, Any]:
    """Seconds from the first request until the bad candidate was rolled back."""
    home = scratch / "served"
    stable = place_sample_model(home, usecase, scratch / "served-model", threshold=0.0, labels=LABELS)
    place_candidate(home, stable, 2, scratch, wrong_in_a_fifth)
    place_candidate(home, ModelRef(stable.name, stable.version, stable.digest), 3, scratch, as_it_is)
    rows = load_labelled(usecase, "sample", scratch / "served-model" / "data").train
    few = sorted(set(rows[usecase.label]))[:LABELS]
    rows = rows[rows[usecase.label].isin(few)].sample(frac=1.0, random_state=1).to_dict("records")
    begin(home, f"{usecase.name}/local", "2", (5.0, 25.0, 50.0, 100.0), 1)
    key, record = keys.issue("bench", ["caller"], keys.utc_now(), expires_days=1)
    with Database(home / "state.db") as database:
        ApiKeys(database).add(record)
    port = free_port(0)
    seen: Counter[str] = Counter()
    ended: dict[str, Any] = {}
    env = {"SWITCHYARD_HOME": str(home), "SWITCHYARD_WORKERS": "2"}
    with orchestrator(scratch, port, env) as server:
        server.wait_ready()
        headers = {"authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False
        )
        begun = time.monotonic()
        async with client, asyncio.TaskGroup() as asking:
            with _ticking(home, ended, begun):
                for i, row in zip(itertools.count(), itertools.cycle(rows), strict=False):
                    await asyncio.sleep(max(0.0, begun + i / PER_SECOND - time.monotonic()))
                    if ended or time.monotonic() - begun > 2 * WITHIN_S:
                        break
                    asking.create_task(_ask_and_say(client, usecase, row, i, seen))
        lasted = time.monotonic() - begun
    return {
        **ended, "at_most_s": WITHIN_S, "answers": dict(seen),
        "per_second": round(sum(seen.values()) / lasted, 1),
    }  # fmt: skip


async def _ask_and_say(
    client: httpx.AsyncClient, usecase: UseCase, row: Mapping[str, Any], number: int, seen: Counter[str]
) -> None:
    given = {name: row[name] for name in usecase.input}
    body = {"use_case": usecase.name, "input": given, "context": {"subject": f"person {number}"}}
    answer = await client.post("/v1/decide", json=body)
    seen[str(answer.status_code)] += 1
    if answer.status_code == httpx.codes.OK:
        said = {"id": answer.json()["id"], "label": row[usecase.label]}
        await client.post("/v1/feedback", json=said)


def main() -> int:
    """Prints the figures and their bounds; the exit code says nothing of them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.rollouts", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("parts", nargs="*", choices=["shadow", "canary", []])
    parser.add_argument("--usecase", default="support")
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    measures = {"shadow": measure_shadow, "canary": measure_canary}
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        found = {part: asyncio.run(measures[part](usecase, Path(folder))) for part in asked.parts or measures}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
