"""`switchyard evaluate`: how right, how fast and how dear is the whole plan on labelled rows?"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, Literal

from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.usecase import UseCase, load_usecase
from services.bootstrap import Edges, bootstrap
from services.event_replay import Past, past_rows
from services.online_features import MemoryHistories
from services.ranking_report import ranking_report
from services.replay import TENANT, Replayed, Watcher, replay, rows_of
from services.settings import load_settings

SEED = 7


async def evaluate(
    name: str,
    data: Literal["sample", "full"],
    limit: int | None,
    concurrency: int,
    home: Path | None,
    progress: Callable[[int], Callable[[], None]],
) -> dict[str, Any]:
    """Replay the test rows, and those that no label fits, through the plan; see `report` for the keys.

    `progress(total)` gives the function that is called after each row. At most `limit` rows of either
    kind are taken, by a seeded draw.
    """
    settings = load_settings(**({} if home is None else {"home": home}))
    usecase = load_usecase(name, settings.usecases_dir)
    labelled = load_labelled(usecase, data, settings.home / "data" if home else default_cache_dir())
    test, outside = (
        frame if limit is None or len(frame) <= limit else frame.sample(limit, random_state=SEED)
        for frame in (labelled.test, labelled.outside)
    )
    if usecase.features is not None:
        test = test.sort_values(usecase.features.time, kind="stable")
    rows = rows_of(test.to_dict("records"), usecase, labelled=True, unsent=_made_up(usecase, data))
    rows += rows_of(outside.to_dict("records"), usecase, labelled=False)
    watcher, histories = Watcher(), MemoryHistories()
    edges = Edges(observers=(watcher,), reviewing=False, dividing=False)
    if usecase.features is not None:
        edges = replace(edges, histories=histories, event_clock=None)  # their own time is long past
    async with bootstrap(settings, edges) as runtime:
        past = None
        if usecase.features is not None:
            others = past_rows(usecase, labelled, test)
            past = Past(usecase, others, TENANT, runtime.hash_key, histories)
        started = time.perf_counter()
        replayed = await replay(runtime, watcher, usecase, rows, concurrency, progress(len(rows)), past)
        seconds = time.perf_counter() - started
        state = runtime.readiness().use_cases[name]
    found = report(replayed)
    return {
        "use_case": name,
        "data": data,
        **found,
        **ranking_report(usecase, rows, replayed),
        "missing": dict(state["missing"]),
        "versions": {"config": usecase.version, "model": state.get("model")},
        "concurrency": concurrency,
        "seconds": round(seconds, 2),
    }


def _made_up(usecase: UseCase, data: Literal["sample", "full"]) -> tuple[str, ...]:
    """Fields that the data lacks and that were simulated: no figure may owe anything to them."""
    full = usecase.data.full
    return tuple(full.table.simulated) if data == "full" and full and full.table else ()


def report(replayed: Sequence[Replayed]) -> dict[str, Any]:
    """The figures, design section 5.

    `accuracy` is the local model's alone, over all labelled rows; `local_coverage` the share of them it
    is sure enough of, and `local_error` the share of those that is wrong. `routes` is what the plan
    did; `outside` are rows that no label fits, for which any local answer is an error.
    """
    known = [row for row in replayed if row.truth is not None]
    strange = [row for row in replayed if row.truth is None]
    costs = [row.cost_usd for row in replayed if row.cost_usd is not None]
    return {
        "n": len(known),
        **_local(known),
        "routes": _routes(known),
        "outside": {
            "n": len(strange),
            "local_share": _share(sum(row.route == "local" for row in strange), len(strange)),
            "routes": dict(Counter(row.route or "none" for row in strange)),
        },
        "usd_per_1000": round(1000 * sum(costs) / len(costs), 6) if costs else None,
        "unpriced": len(replayed) - len(costs),
        "latency_ms": _percentiles([row.latency_ms for row in replayed]),
    }


def _local(known: Sequence[Replayed]) -> dict[str, float | None]:
    scored = [(row.scored, row.truth) for row in known if row.scored is not None]
    sure = [(said, truth) for said, truth in scored if said.confidence >= said.threshold]
    return {
        "accuracy": _share(sum(said.label == truth for said, truth in scored), len(scored)),
        "local_coverage": _share(len(sure), len(scored)),
        "local_error": _share(sum(said.label != truth for said, truth in sure), len(sure)),
    }


def _routes(known: Sequence[Replayed]) -> dict[str, dict[str, float | int | None]]:
    counts = Counter(row.route or "none" for row in known)
    right = Counter(row.route or "none" for row in known if row.label == row.truth)
    return {
        route: {"count": n, "share": _share(n, len(known)), "correct": _share(right[route], n)}
        for route, n in counts.most_common()
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def _percentiles(values: Sequence[float]) -> Mapping[str, float | None]:
    if len(values) < 2:
        value = round(fmean(values), 3) if values else None
        return {"p50": value, "p95": value, "p99": value}
    cuts = quantiles(values, n=100, method="inclusive")
    return {name: round(cuts[at - 1], 3) for name, at in (("p50", 50), ("p95", 95), ("p99", 99))}
