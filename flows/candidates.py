"""Is a retrained model better than the champion? On rows that neither learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feature_checks.splits import row_keys
from feature_checks.usecase import UseCase
from flows.steps.files import need, read_json
from flows.steps.rows import inputs, positions, read_rows
from registry.promotion import Gate
from registry.runtimes import Predictor

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Fresh:
    """Added rows, judged twice: by the candidate's cross-fitted guesses, and by the champion as it is."""

    now: Sequence[bool]
    before: Sequence[bool]


def better(fresh: Fresh) -> Gate:
    """Open when the candidate is right more often on the added rows, by the sign test (one-sided, exact) on
    those where the two differ: what it was retrained for is what must show."""
    from scipy.stats import binomtest

    pairs = list(zip(fresh.now, fresh.before, strict=True))
    gained, lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    p_value = float(binomtest(gained, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0
    said = (
        f"on {len(pairs)} added rows, each by models that did not see it, {gained} better and {lost} worse "
        f"than the champion's (p = {p_value:.2g}, below {LEVEL} is needed)"
    )
    return Gate("better", p_value < LEVEL, said)


def fresh_rows(build: Path, usecase: UseCase, champion: Predictor) -> Fresh:
    """The added rows of this build, found again among those that were trained on."""
    import numpy as np
    import pandas as pd

    train = read_rows(build, "train")
    added = pd.read_csv(need(build / "raw" / "added" / "rows.csv", "fetch"), dtype=str, keep_default_na=False)
    names = list(usecase.input)
    mine = train[names].astype(str)
    chosen = row_keys(mine, names).isin(set(row_keys(added, names))).to_numpy()
    labels = read_json(build / "fit" / "fit.json", "fit")["labels"]
    truth = positions(train[usecase.label].tolist(), labels)
    with np.load(need(build / "fit" / "oof.npz", "fit"), allow_pickle=False) as arrays:
        now = arrays["probabilities"].argmax(axis=1) == truth
    rows = train[chosen]
    said = champion.probabilities(inputs(rows, usecase)).argmax(axis=1) if len(rows) else []
    before = [
        champion.labels[int(at)] == label
        for at, label in zip(said, rows[usecase.label].tolist(), strict=True)
    ]
    return Fresh(now[chosen].tolist(), before)
