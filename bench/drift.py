"""`python -m bench.drift`: are new labels noticed, and does retraining on a few of them help? Real data.

Ten labels are removed from the published training rows. A model and its reference are made from the rest but
for 2,000 rows, which are the usual traffic. Then the messages of the removed labels arrive, alone and mixed.
At last 200 of them are labelled, drawn at random, and the model is trained again. What is judged are the
published test rows. `--light`: a smaller network and two folds, for a busy machine. `--plot FILE.svg` draws
how far each feature moves as more of the traffic is new, and does nothing else.
"""

import argparse
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.drift_plot import draw_plot
from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.drift import DriftVerdict, Feature, drift_verdict
from feature_checks.drift_reference import Reference, inputs_version, read_reference, write_reference
from feature_checks.usecase import UseCase, load_usecase
from flows.embedding import open_embedder
from flows.monitored import input_features, prediction_features
from flows.params import read_params
from flows.steps.calibrate import choose_threshold
from flows.steps.fit import kind_module

LIGHT = {"folds": 2, "epochs": 10, "hidden": 128}
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
REMOVED, USUAL, REVIEWED = 10, 2000, 200


@dataclass
class Setting:
    """Rows as (texts, labels), the model before, and what its reference says."""

    usecase: UseCase
    model: Any
    threshold: float
    reference: Reference

    def verdict(self, rows: Any) -> DriftVerdict:
        """The rows as a window."""
        now = _features(self.usecase, self.model, rows, self.threshold)
        shared = self.reference.features.keys() & now.keys()
        return drift_verdict(
            {name: self.reference.features[name] for name in sorted(shared)},
            {name: now[name] for name in sorted(shared)},
        )


def main() -> int:
    """Run all three parts; prints one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of all draws and of every model")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    data = load_labelled(usecase, "full", default_cache_dir())
    removed = set(sorted(set(data.train[usecase.label]))[::7][:REMOVED])
    is_new = data.train[usecase.label].isin(removed)
    old = data.train[~is_new].sample(frac=1, random_state=asked.seed)
    usual, base, new = old[:USUAL], old[USUAL:], data.train[is_new].sample(frac=1, random_state=asked.seed)
    setting = _setting(usecase, base, data.test[~data.test[usecase.label].isin(removed)], asked)
    _say("the model before is trained")
    if asked.plot:
        _plot(setting, usual, new, asked.plot)
        return 0
    draw = random.Random(asked.seed)  # noqa: S311  — no secret
    alarms = 0
    for _ in range(asked.windows):
        alarms += setting.verdict(usual.iloc[draw.sample(range(len(usual)), 500)]).drifted
    _say(f"{alarms} false alarms in {asked.windows} windows of 500")
    found = {
        "light": asked.light,
        "seed": asked.seed,
        "removed": sorted(removed),
        "windows": asked.windows,
        "false_alarms": alarms,
    }
    found["detected_after"] = _detected_after(setting, usual, new, draw)
    _say(f"detected after {found['detected_after']}")
    found["retrained"] = _retrained(setting, old, new, data.test, removed, asked)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


def _plot(setting: Setting, usual: Any, new: Any, to: Path) -> None:
    import pandas as pd

    sizes: dict[str, list[float]] = {}
    drifted = []
    for share in SHARES:
        some = round(500 * share)
        verdict = setting.verdict(pd.concat([usual.iloc[: 500 - some], new.iloc[:some]]))
        drifted.append(verdict.drifted)
        for one in verdict.features:
            sizes.setdefault(f"{one.feature}: {one.measure}", []).append(one.size / one.bound)
        _say(f"{share:.0%} new: {'alarm' if verdict.drifted else 'quiet'}: {verdict.reason}")
    draw_plot(SHARES, dict(sorted(sizes.items())), drifted, to)


def _detected_after(setting: Setting, usual: Any, new: Any, draw: random.Random) -> dict[str, int | None]:
    """How many new messages had come when the newest 500 first raised an alarm: new ones alone, or one in two
    and one in four of all. Looked at every 25 messages."""
    import pandas as pd

    found: dict[str, int | None] = {}
    for name, every in (("alone", 1), ("half", 2), ("quarter", 4)):
        window = usual.iloc[draw.sample(range(len(usual)), 500)]
        stream = usual.iloc[draw.sample(range(len(usual)), min(len(usual), 300 * (every - 1)))]
        found[name] = None
        for came in range(25, 301, 25):
            mixed = [window, stream.iloc[: came * (every - 1)], new.iloc[:came]]
            arrived = pd.concat(mixed[1:]).sample(frac=1, random_state=0)
            if setting.verdict(pd.concat([window, arrived]).iloc[-500:]).drifted:
                found[name] = came
                break
    return found


def _retrained(
    setting: Setting, old: Any, new: Any, test: Any, removed: set[str], asked: argparse.Namespace
) -> dict[str, float]:
    import pandas as pd

    usecase = setting.usecase
    model = _fit(usecase, pd.concat([old, new[:REVIEWED]]), asked)
    is_new = test[usecase.label].isin(removed)
    before = _fit(usecase, old, asked)
    return {
        "reviewed": REVIEWED,
        "accuracy_new": _accuracy(usecase, model, test[is_new]),
        "accuracy_others_before": _accuracy(usecase, before, test[~is_new]),
        "accuracy_others_after": _accuracy(usecase, model, test[~is_new]),
    }


def _setting(usecase: UseCase, base: Any, test: Any, asked: argparse.Namespace) -> Setting:
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    model = _fit(usecase, base, asked)
    at = {label: index for index, label in enumerate(model.labels)}
    truth = np.array([at[label] for label in base[usecase.label]])
    risk = usecase.local.risk
    rule = choose_threshold(model.oof.max(axis=1), model.oof.argmax(axis=1) == truth, risk.max_error)
    features = {**_features(usecase, model, test, rule.threshold)}
    inputs = input_features({n: base[n].tolist() for n in usecase.input}, usecase, open_embedder())
    made = Reference(
        usecase.name, usecase.version, inputs_version(usecase), open_embedder().name, features | inputs
    )
    return Setting(usecase, model, rule.threshold, read_reference(*write_reference(made)))  # as it is served


def _features(usecase: UseCase, model: Any, rows: Any, threshold: float) -> dict[str, Feature]:
    columns = {name: rows[name].tolist() for name in usecase.input}
    names = [str(at) for at in range(len(rows))]
    features = input_features(columns, usecase, open_embedder(), names)
    probabilities = model.probabilities(rows)
    return features | prediction_features(probabilities, probabilities.max(axis=1), model.labels, threshold)


def _fit(usecase: UseCase, rows: Any, asked: argparse.Namespace) -> Any:
    params = read_params()
    kind = usecase.local.kind if usecase.local else ""
    chosen = {**params.of_kind(kind), **(LIGHT if asked.light else {})}
    return kind_module(kind).fit(rows.reset_index(drop=True), usecase, chosen, asked.seed)


def _accuracy(usecase: UseCase, model: Any, rows: Any) -> float:
    said = [model.labels[at] for at in model.probabilities(rows).argmax(axis=1)]
    return round(float(np.mean([a == b for a, b in zip(said, rows[usecase.label], strict=True)])), 4)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
