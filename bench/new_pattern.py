"""`python -m bench.new_pattern`: is a pattern of fraud that nobody has seen noticed, and from which share on?

A model and its reference are made from a use case's training events; windows of its test days are the usual
traffic. Then cards are tried out, a pattern that no training event has: bursts of small payments with many
cards, each at places where it never was. Prints, for each share of the window, what the monitor measures, and
what the model does with the new events. `--data full` for the published payments.
"""

import argparse
import json
import sys
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.drift import Feature, drift_verdict
from feature_checks.feature_engine import FeatureEngine
from feature_checks.feature_table import feature_table
from feature_checks.labelled import LabelledData
from feature_checks.usecase import UseCase, load_usecase
from flows.monitored import event_features, prediction_features
from flows.params import read_params
from flows.steps.fit import kind_module
from flows.steps.label_rules import label_rules

SHARES = (0.02, 0.05, 0.1, 0.2)
BURST = 12  # payments of one tried card, within an hour
WINDOWS = 20  # of usual traffic, for false alarms


def main() -> int:
    """Train, look at usual windows, then at windows with the new pattern; prints one JSON document."""
    said = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.new_pattern", description=said)
    parser.add_argument("--usecase", default="fraud")
    parser.add_argument("--data", choices=["sample", "full"], default="sample")
    parser.add_argument("--window", type=int, default=None, help="events; default: as usecase.yaml says")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    if usecase.features is None or usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no events: it declares no `features:`")
    data, params = load_labelled(usecase, asked.data, default_cache_dir()), read_params()
    model = kind_module(usecase.local.kind).fit(
        data.train, usecase, params.of_kind(usecase.local.kind), params.seed
    )
    rules = _rules(usecase, model, data.train)
    # What the model says of rows that it learned from is too sure: held-out ones are the reference.
    held = np.isfinite(model.oof).all(axis=1)
    reference: dict[str, Feature] = _events(usecase, data.train)
    reference |= prediction_features(
        model.oof[held], model.oof[held].max(axis=1), model.labels, rules[model.oof[held].argmax(axis=1)]
    )
    size, draw = asked.window or usecase.monitoring.window, np.random.default_rng(asked.seed)
    test = data.test.sort_values(usecase.features.time, kind="stable")

    def verdict(rows: pd.DataFrame) -> Any:
        p = model.probabilities(rows)
        now = _events(usecase, rows) | prediction_features(
            p, p.max(axis=1), model.labels, rules[p.argmax(axis=1)]
        )
        shared = sorted(reference.keys() & now.keys())
        return drift_verdict(
            {name: reference[name] for name in shared},
            {name: now[name] for name in shared},
            usecase.monitoring.bounds,
        )

    windows = [test.iloc[at : at + size] for at in _starts(len(test), size, draw)]
    alarms = [verdict(one) for one in windows]
    found: dict[str, Any] = {
        "window": size,
        "usual": {
            "windows": len(windows),
            "false_alarms": sum(one.drifted for one in alarms),
            "largest": _largest(alarms, usecase.monitoring.bounds),
        },
        "shares": {},
    }
    for share in SHARES:
        new = _tried_cards(usecase, windows[0], round(share * size), draw)
        rows = _with_new(usecase, data, windows[0], new)
        one, p = verdict(rows), model.probabilities(rows.loc[rows.index.isin(new.index)])
        confident = p.max(axis=1) >= rules[p.argmax(axis=1)]
        found["shares"][f"{share:.0%}"] = {
            "alarm": one.drifted,
            "moved": {f.feature: round(f.size, 3) for f in one.features if f.drifted},
            "largest": _largest([one], usecase.monitoring.bounds),
            "declined": round(float((confident & (p.argmax(axis=1) == 1)).mean()), 3),
            "approved": round(float((confident & (p.argmax(axis=1) == 0)).mean()), 3),
        }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


def _rules(usecase: UseCase, model: Any, train: pd.DataFrame) -> np.ndarray:
    """(k,) the threshold of each label, as calibration finds them."""
    assert usecase.local is not None
    held = np.isfinite(model.oof).all(axis=1)
    truth = (train[usecase.label].to_numpy() == model.labels[1]).astype(np.int64)
    found = label_rules(model.oof[held], truth[held], model.labels, usecase.local.risk).rules or {}
    return np.array([found[label]["threshold"] for label in model.labels])


def _events(usecase: UseCase, rows: pd.DataFrame) -> dict[str, Feature]:
    assert usecase.features is not None
    return event_features({name: rows[name].tolist() for name in usecase.features.columns}, usecase)


def _starts(rows: int, size: int, draw: np.random.Generator) -> list[int]:
    return sorted(draw.integers(0, max(1, rows - size), WINDOWS).tolist())


def _largest(verdicts: list[Any], bounds: Collection[str]) -> dict[str, float]:
    """The largest size of the features with bounds of their own, and of the three that moved furthest."""
    sizes: dict[str, float] = {}
    for one in verdicts:
        for feature in one.features:
            sizes[feature.feature] = max(sizes.get(feature.feature, 0.0), round(feature.size, 3))
    ranked = sorted(sizes.items(), key=lambda item: -item[1])
    return dict(one for place, one in enumerate(ranked) if place < 3 or one[0] in bounds)


def _tried_cards(
    usecase: UseCase, window: pd.DataFrame, count: int, draw: np.random.Generator
) -> pd.DataFrame:
    """So many small payments in bursts within the window's time, as rows like those of the table."""
    assert usecase.features is not None
    spec = usecase.features
    card, *others = spec.key_fields
    bursts = -(-count // BURST)
    cards = draw.choice(window[card].unique(), bursts)
    first, last = window[spec.time].min(), window[spec.time].max()
    start = first + pd.to_timedelta(draw.random(bursts) * (last - first).total_seconds(), "s")
    at = np.repeat(start, BURST)[:count] + pd.to_timedelta(draw.uniform(0, 3600, count), "s")
    rows = window.sample(count, replace=True, random_state=int(draw.integers(1 << 30))).assign(
        **{card: np.repeat(cards, BURST)[:count], spec.time: at.astype("datetime64[us, UTC]")},
        **{spec.id: np.arange(10**9, 10**9 + count)},
        **{other: draw.choice(window[other].unique(), count) for other in others},
        **{name: np.round(draw.uniform(0.5, 2.0, count), 2) for name in FeatureEngine(spec).numbers},
        **{usecase.label: spec.positive},
    )
    return rows.set_index(pd.RangeIndex(10**9, 10**9 + count))


def _with_new(usecase: UseCase, data: LabelledData, window: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The window with the new events in it, and the features that all of them would have had."""
    assert usecase.features is not None
    parts = [part for part in (data.train, data.history, window, new) if part is not None]
    columns = [*usecase.input, usecase.label]
    whole = pd.concat([part[columns] for part in parts])
    whole = whole[whole[usecase.features.time] <= window[usecase.features.time].max()]
    features = feature_table(whole, FeatureEngine(usecase.features), usecase.label)
    kept = window.index.union(new.index).intersection(whole.index)
    return pd.concat([whole.loc[kept], features.loc[kept]], axis=1)


if __name__ == "__main__":
    raise SystemExit(main())
