"""`python -m bench.events [score] [state] [replay] [request] [train] [protocol]`: what events cost.

score: one row through the exported model, alone and with its reasons. state: what 10,000 keys take in either
store. replay: a million made-up events through the features. request: a whole request beside a bare BentoML
echo, all in one run. train: the steps of training on 90 days of the full data, in a process of their own.
protocol: the handbook's metrics of a model of its one week, and of the use case's own days.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from bench.results import Figure, Found, save, table
from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.feature_engine import FeatureEngine
from feature_checks.feature_table import feature_table
from feature_checks.made_rows import make_rows, read_recipe
from feature_checks.usecase import UseCase, load_usecase
from flows.params import read_params

PARTS = ("score", "state", "replay", "request", "train", "protocol")
MILLION = 1_000_000
CUSTOMERS = 10_000
AHEAD_OF = {"roc_auc": None, "average_precision": 0.659, "card_precision_at_100": 0.291}
"""The best of the handbook's baselines in each, reimplemented on the same week."""


def main() -> int:
    """Run the parts that are named, all by default."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.events", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which; all by default")
    parser.add_argument("--usecase", default="fraud")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement of a request")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    if usecase.features is None:
        raise SystemExit(f"use case '{usecase.name}' has no events: it declares no `features:`")
    found = []
    with tempfile.TemporaryDirectory(prefix="switchyard-events-") as folder:
        measures: Mapping[str, Callable[[], Found]] = {
            "score": lambda: measure_score(usecase),
            "state": lambda: measure_state(usecase, Path(folder)),
            "replay": lambda: measure_replay(usecase),
            "request": lambda: _measure_request(usecase, Path(folder), asked.rounds, asked.seconds),
            "train": lambda: measure_training(usecase, Path(folder)),
            "protocol": lambda: measure_protocol(usecase),
        }
        for part in asked.parts or PARTS:
            found.append(measures[part]())
    file = save(found)
    if asked.json:
        sys.stdout.write(json.dumps([asdict(one) for one in found]) + "\n")
        return 0
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    sys.stdout.write(f"{table(found)}\nload of this machine (1, 5, 15 minutes): {load}\nraw: {file}\n")
    return 0


def measure_score(usecase: UseCase) -> Found:
    """One row through ONNX alone, and with exact reasons: medians over the sample's test rows."""
    from bench.sample_model import make_sample_package
    from flows.steps.local_build import open_exported

    with tempfile.TemporaryDirectory() as folder:
        package = make_sample_package(Path(folder) / "home", usecase, Path(folder))
        names = [p.name for p in package.iterdir()]
        predictor: Any = open_exported(package, usecase, usecase.labels, names)
    rows = load_labelled(usecase, "sample", default_cache_dir()).test
    inputs = rows[list(usecase.model_inputs)].astype("float64").to_dict("records")[:1000]
    session, arrays = predictor._session, [predictor._row(row)[None, :] for row in inputs]

    def per_row(one: Callable[[Any], object], over: list[Any]) -> float:
        times = []
        for item in over:
            begin = time.perf_counter()
            one(item)
            times.append(1000 * (time.perf_counter() - begin))
        return statistics.median(times)

    alone = [per_row(lambda row: session.run(None, {"features": row}), arrays) for _ in range(5)]
    whole = [per_row(predictor.predict, inputs) for _ in range(5)]
    return Found(
        "one row of numbers",
        (
            Figure("LightGBM through ONNX, ms a row", round(statistics.median(alone), 4), 0.1),
            Figure("with exact reasons, ms a row", round(statistics.median(whole), 4)),
        ),
        {"onnx_ms": alone, "predict_ms": whole},
    )


def measure_state(usecase: UseCase, scratch: Path) -> Found:
    """10,000 keys of every key field with a past over all windows, as SQLite's file and Redis hold them."""
    from bench.event_traffic import histories
    from services.state.sqlite_histories import SqliteHistories

    made = histories(usecase, CUSTOMERS, time.time())
    figures, raw = [], {}

    async def in_sqlite(key: str) -> float:
        store = SqliteHistories(scratch / f"{key}.db", timeout_s=30)
        kept = made[key]
        columns = [len(kept[0].values)] * len(kept)
        await store.change([f"bench/{key}/{n}" for n in range(len(kept))], columns, lambda held: kept)
        await store.close()
        return float((scratch / f"{key}.db").stat().st_size) / 2**20

    for key in made:
        mib = asyncio.run(in_sqlite(key))
        figures.append(Figure(f"{CUSTOMERS:,} of {key} in SQLite, MiB", round(mib, 1), 50))
        events = sum(len(one.times) for one in made[key])
        raw[key] = {"sqlite_mib": mib, "events": events}
        if url := os.environ.get("SWITCHYARD_REDIS_URL"):
            mib = asyncio.run(_in_redis(url, made[key]))
            figures.append(Figure(f"{CUSTOMERS:,} of {key} in Redis, MiB", round(mib, 1), 50))
            raw[key]["redis_mib"] = mib
    return Found("what is remembered of keys", tuple(figures), raw)


def _keeping(kept: list[Any]) -> Callable[[list[Any]], list[Any]]:
    """A change that puts these in the place of whatever is there."""
    return lambda held: kept


async def _in_redis(url: str, kept: list[Any]) -> float:
    """What Redis says that the keys take, by `MEMORY USAGE` of each; they are deleted afterwards."""
    from redis.asyncio import Redis

    from services.state.redis_histories import RedisHistories

    store, client = RedisHistories(url, prefix=f"bench-{os.getpid()}", timeout_s=60), Redis.from_url(url)
    names = [f"bench/{n}" for n in range(len(kept))]
    total = 0
    for at in range(0, len(kept), 500):
        part = kept[at : at + 500]
        columns = [len(part[0].values)] * len(part)
        await store.change(names[at : at + 500], columns, _keeping(part))
    async for key in client.scan_iter(f"bench-{os.getpid()}:*", count=1000):
        total += int(await client.memory_usage(key, samples=0) or 0)
        await client.delete(key)
    await store.close()
    await client.aclose()
    return total / 2**20


def measure_replay(usecase: UseCase) -> Found:
    """A million events, made by the sample's own recipe with more actors, places and days."""
    assert usecase.features is not None
    recipe = read_recipe(usecase.path(usecase.data.sample))
    actors = recipe.actors.model_copy(update={"count": 5000})
    places = recipe.places.model_copy(update={"count": 5000, "reach": 5.0})
    many = recipe.model_copy(update={"actors": actors, "places": places, "days": 101})
    rows = make_rows(many).iloc[:MILLION]
    times = rows[usecase.features.time].astype("datetime64[us]").dt.tz_localize("UTC")
    rows = rows.assign(**{usecase.features.time: times})
    begin = time.perf_counter()
    found = feature_table(rows, FeatureEngine(usecase.features), usecase.label)
    seconds = time.perf_counter() - begin
    figures = (
        Figure("events", float(len(found))),
        Figure("through all features, s", round(seconds, 1), 120),
    )
    return Found("a million events through the features", figures, {"seconds": seconds})


def _measure_request(usecase: UseCase, scratch: Path, rounds: int, seconds: float) -> Found:
    from bench.event_traffic import remember
    from bench.request import measure_request
    from bench.sample_model import place_sample_model
    from registry.settings import RegistrySettings

    settings = RegistrySettings(home=scratch / "home")
    place_sample_model(settings.home, usecase, scratch / "model", threshold=0.0)
    remember(settings.home, usecase, "bench")
    return asyncio.run(measure_request(usecase, settings, scratch, rounds, seconds, at_most=1.3))


def measure_training(usecase: UseCase, scratch: Path) -> Found:
    """90 days of the full data through the steps of training, in a process of its own for its memory."""
    code = "import sys; from bench.events import train_90_days; train_90_days(sys.argv[1], sys.argv[2])"
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, usecase.name, str(scratch)])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("training ended with an error; see above")
    seconds, gib = time.perf_counter() - begin, used.ru_maxrss / 2**20
    figures = (
        Figure("training on 90 days, s", round(seconds, 1), 120),
        Figure("of that, CPU s", round(used.ru_utime + used.ru_stime, 1)),
        Figure("memory, GiB", round(gib, 2), 3),
    )
    return Found("training on 90 days", figures, json.loads((scratch / "steps.json").read_text()))


def train_90_days(name: str, scratch: str) -> None:
    """The steps up to the package, on days 1 to 90 of the full data; the last two days are tested on."""
    from flows.steps.calibrate import calibrate
    from flows.steps.check import check
    from flows.steps.contract import contract
    from flows.steps.evaluate import evaluate
    from flows.steps.fetch import fetch
    from flows.steps.fit import fit
    from flows.steps.package import package
    from flows.steps.prepare import prepare
    from registry.settings import RegistrySettings

    usecase = load_usecase(name)
    full = usecase.data.full
    assert full is not None
    assert full.split is not None
    assert usecase.local is not None
    days = {"train_from": date(2018, 6, 1), "train_to": date(2018, 8, 29), "test_from": date(2018, 8, 30),
            "test_to": date(2018, 8, 31), "known_from": None}  # fmt: skip
    split = full.split.model_copy(update=days)
    data = usecase.data.model_copy(update={"full": full.model_copy(update={"split": split})})
    usecase, build = usecase.model_copy(update={"data": data}), Path(scratch) / "build"
    build.mkdir()
    params, took = read_params(), {}
    steps: list[tuple[str, Callable[[], object]]] = [
        ("fetch", lambda: fetch(build, usecase, "full")),
        ("check", lambda: check(build, usecase)),
        ("prepare", lambda: prepare(build, usecase)),
        ("fit", lambda: fit(build, usecase, params.of_kind(usecase.local.kind), params.seed)),  # type: ignore[union-attr]  # asserted
        ("evaluate", lambda: evaluate(build, usecase)),
        ("calibrate", lambda: calibrate(build, usecase)),
        ("contract", lambda: contract(build, usecase, RegistrySettings(home=Path(scratch) / "home"))),
        ("package", lambda: package(build, usecase)),
    ]
    for step, run in steps:
        begin = time.perf_counter()
        run()
        took[step] = round(time.perf_counter() - begin, 2)
        sys.stderr.write(f"{step}: {took[step]} s\n")
    took["memory_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    (Path(scratch) / "steps.json").write_text(json.dumps(took))


def measure_protocol(usecase: UseCase) -> Found:
    """Metrics on the test days: of a model of the protocol's week alone, and of the use case's own days."""
    import pandas as pd

    from flows.steps.fit import kind_module
    from services.ranking_report import ranking_of

    assert usecase.local is not None
    assert usecase.features is not None
    data = load_labelled(usecase, "full", default_cache_dir())
    full = usecase.data.full
    assert full is not None
    assert full.split is not None
    since = pd.Timestamp(full.split.known_from or full.split.train_from, tz="UTC")
    week = data.train[data.train[usecase.features.time] >= since]
    params = read_params()
    figures, raw = [], {}
    for name, rows in (("the protocol's week", week), ("the use case's own days", data.train)):
        fitted = kind_module(usecase.local.kind).fit(
            rows, usecase, params.of_kind(usecase.local.kind), params.seed
        )
        scores = fitted.probabilities(data.test)[:, 1]
        metrics = raw[name] = ranking_of(usecase, data.test, scores)
        for metric, bound in (
            ("roc_auc", None),
            ("average_precision", 0.659),
            ("card_precision_at_100", 0.291),
        ):
            figures.append(Figure(f"{name}: {metric}", metrics[metric], bound, "at least"))
    return Found("the handbook's test week", tuple(figures), raw)


if __name__ == "__main__":
    sys.exit(main())
