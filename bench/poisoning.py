"""`python -m bench.poisoning`: a reviewer who lies, against the defence of `switchyard curate`.

A tenth of all training labels is flipped, all by one of ten reviewers: `half` of the labels of one who gives
a fifth of all, or `all` labels of one who gives a tenth. Each lie is a label by lot, or with `--lies similar`
the one whose rows lie nearest to those of the true label, always the same. No row is trusted beforehand.
Reported: how many of the flipped and of the good rows are quarantined, and how right a model is on the test
rows that was trained on the rest, beside one trained on clean labels and one trained on the poisoned ones.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.drift import LIGHT
from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.labels import label_suspects
from feature_checks.suspects import Bools, Floats, Ints
from feature_checks.usecase import UseCase, load_usecase
from flows.embedding import unit_vectors
from flows.params import read_params
from flows.steps.fit import kind_module
from flows.steps.rows import positions

SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Poisoned:
    """`given` labels by `sources`; `flipped` says which are lies."""

    given: Ints
    sources: list[str]
    flipped: Bools


@dataclass(frozen=True, slots=True)
class Found:
    """Shares of rows quarantined, and shares right on test rows."""

    scenario: str
    seed: int
    flipped_quarantined: float
    good_quarantined: float
    clean: float
    poisoned: float
    defended: float


def most_similar(vectors: Floats, truth: Ints, labels: int) -> Ints:
    """(labels,) the other label whose mean point is nearest to that of each: vectors (n, d)."""
    centers = np.stack([vectors[truth == label].mean(axis=0) for label in range(labels)])
    centers -= centers.mean(axis=0)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True) + 1e-12
    near = centers @ centers.T
    np.fill_diagonal(near, -np.inf)
    return np.asarray(near.argmax(axis=1), np.int64)


def poison(truth: Ints, labels: int, scenario: str, seed: int, instead: Ints | None = None) -> Poisoned:
    """Flip `SHARE` of all labels within the rows of reviewer `r0`, each to `instead` (labels,) or by lot."""
    draw = np.random.default_rng(seed)
    rank = draw.permutation(len(truth))
    fifth = scenario == "half"
    number = np.where(rank % 5 == 0, 0, 1 + rank % 9) if fifth else rank % 10
    mine = np.flatnonzero(number == 0)
    lies = draw.choice(mine, min(len(mine), round(SHARE * len(truth))), replace=False)
    flipped = np.zeros(len(truth), bool)
    flipped[lies] = True
    given = truth.copy()
    if instead is None:
        given[flipped] = (truth[flipped] + draw.integers(1, labels, int(flipped.sum()))) % labels
    else:
        given[flipped] = instead[truth[flipped]]
    return Poisoned(given, [f"r{one}" for one in number], flipped)


def quarantined(probabilities: Floats, made: Poisoned) -> Bools:
    """The rows that the defence holds back."""
    found = label_suspects(probabilities, made.given, made.sources)
    held = np.zeros(len(made.given), bool)
    held[[one.row for one in found]] = True
    return held


def measure(
    usecase: UseCase, data: Any, scenarios: Sequence[str], lies: str, seed: int, light: bool
) -> Iterator[Found]:
    """All scenarios with one seed: a training on clean labels, and two more for each."""
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    kind = kind_module(usecase.local.kind)
    params = {**read_params().of_kind(usecase.local.kind), **(LIGHT if light else {})}
    labels = sorted(set(data.train[usecase.label].tolist()))
    truth = positions(data.train[usecase.label].tolist(), labels)
    similar = lies == "similar"
    instead = most_similar(unit_vectors(data.train, usecase), truth, len(labels)) if similar else None

    def right(fitted: Any) -> float:
        said = np.asarray(fitted.labels, object)[fitted.probabilities(data.test).argmax(axis=1)]
        return float((said == data.test[usecase.label].to_numpy(object)).mean())

    clean = right(kind.fit(data.train, usecase, params, seed))
    for scenario in scenarios:
        made = poison(truth, len(labels), scenario, seed, instead)
        lied = data.train.assign(**{usecase.label: [labels[one] for one in made.given]})
        poisoned = kind.fit(lied, usecase, params, seed)
        held = quarantined(poisoned.oof, made)
        defended = kind.fit(lied[~held], usecase, params, seed)
        caught, lost = float(held[made.flipped].mean()), float(held[~made.flipped].mean())
        shown = f"{scenario}, {lies}"
        yield Found(shown, seed, caught, lost, clean, right(poisoned), right(defended))


def main() -> int:
    """Run it; one line a scenario and seed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.poisoning", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--usecase", default="support")
    parser.add_argument("--data", choices=["sample", "full"], default="full")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--scenarios", nargs="+", choices=["half", "all"], default=["half", "all"])
    parser.add_argument("--lies", choices=["random", "similar"], default="random")
    parser.add_argument(
        "--light", action="store_true", help="a smaller network and two folds, as bench.drift"
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    usecase = load_usecase(asked.usecase)
    data = load_labelled(usecase, asked.data, default_cache_dir())
    for seed in asked.seeds:
        for found in measure(usecase, data, asked.scenarios, asked.lies, seed, asked.light):
            sys.stdout.write(json.dumps(asdict(found)) + "\n" if asked.json else _line(found))
            sys.stdout.flush()
    return 0


def _line(found: Found) -> str:
    return (
        f"{found.scenario}, seed {found.seed}: quarantined {found.flipped_quarantined:.1%} of the flipped "
        f"and {found.good_quarantined:.1%} of the good rows; right on test rows: clean {found.clean:.2%}, "
        f"poisoned {found.poisoned:.2%}, defended {found.defended:.2%}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
