"""What a sender's score is worth is learned from held-out rows, and promises hold with and without it."""

import json
from pathlib import Path

import numpy as np
import pytest

from feature_checks.usecase import UseCase, load_usecase
from flows.steps.calibrate import calibrate
from flows.steps.federated import LEAST, learn

FOLDER = Path(__file__).parents[2] / "usecases"
LABELS = ("approve", "decline")


@pytest.fixture(scope="module")
def usecase() -> UseCase:
    return load_usecase("fraud", FOLDER)


def made(n: int = 20_000, hint: float = 2.0, share: float = 0.5) -> tuple[np.ndarray, ...]:
    """(oof, truth, folds, scores): calibrated own probabilities; scores whose log-odds say `hint` more."""
    draw = np.random.default_rng(4)
    p = 1 / (1 + np.exp(-draw.normal(-2, 2, n)))
    truth = (draw.random(n) < p).astype(np.int64)
    odds = draw.normal(hint * (truth - 0.5), 1.0)
    scores = np.where(draw.random(n) < share, 1 / (1 + np.exp(-odds)), np.nan)
    return np.stack([1 - p, p], axis=1), truth, np.arange(n) * 4 // n, scores


def test_weights_are_those_that_made_the_labels(usecase: UseCase) -> None:
    """With own odds calibrated and scores N(±h/2, 1), Bayes gives weight 1 to ours and h to theirs."""
    found = learn(usecase, *made(), LABELS)
    assert found is not None
    assert found.weights.own == pytest.approx(1.0, abs=0.1)
    assert found.weights.theirs == pytest.approx(2.0, abs=0.2)


def test_a_score_that_says_nothing_or_lies_counts_for_nothing(usecase: UseCase) -> None:
    for hint in (0.0, -2.0):
        found = learn(usecase, *made(hint=hint), LABELS)
        assert found is not None
        assert found.weights.theirs < 0.05


def test_a_row_is_combined_by_weights_that_never_saw_it(usecase: UseCase) -> None:
    oof, truth, folds, scores = made()
    before = learn(usecase, oof, truth, folds, scores, LABELS)
    flipped = np.where(folds == 2, 1 - truth, truth)
    after = learn(usecase, oof, flipped, folds, scores, LABELS)
    assert before is not None
    assert after is not None
    same = folds == 2
    np.testing.assert_array_equal(before.oof[same], after.oof[same])
    assert not np.allclose(before.oof[~same], after.oof[~same], equal_nan=True)


def test_of_too_few_scores_nothing_is_learned(usecase: UseCase) -> None:
    oof, truth, folds, scores = made()
    few = np.where(np.cumsum(np.isfinite(scores) & (truth == 1)) < LEAST, scores, np.nan)
    assert learn(usecase, oof, truth, folds, few, LABELS) is None


def test_each_promise_is_kept_by_the_rows_of_its_own_kind(usecase: UseCase, tmp_path: Path) -> None:
    """Rows with a score are answered by the combined rule, those without by the model's own; on fresh rows
    of either kind at most `max_error` of the answers are wrong, and the score lets more be answered."""
    oof, truth, folds, scores = made(200_000)
    half = np.arange(len(truth)) % 2 == 0
    learned = learn(usecase, oof[half], truth[half], folds[half], scores[half], LABELS)
    assert learned is not None
    (tmp_path / "fit").mkdir()
    np.savez(
        tmp_path / "fit" / "oof.npz",
        probabilities=oof[half], truth=truth[half], folds=folds[half], combined=learned.oof,
    )  # fmt: skip
    (tmp_path / "fit" / "fit.json").write_text(json.dumps({"labels": LABELS}))
    found = calibrate(tmp_path, usecase)
    there = np.isfinite(scores)
    positive = np.where(there, learned.weights.combine(oof[:, 1], np.where(there, scores, 0.5)), oof[:, 1])
    p = np.stack([1 - positive, positive], axis=1)
    for rules, rows in ((found["combined"]["by_label"], ~half & there), (found["by_label"], ~half & ~there)):
        for place, label in enumerate(LABELS):
            said = rows & (p.argmax(axis=1) == place) & (p.max(axis=1) >= rules[label]["threshold"])
            assert said.any()
            bound = rules[label]["max_error"]
            luck = 3 * np.sqrt(bound * (1 - bound) / said.sum())  # of these rows, not of the promise
            assert (truth[said] != place).mean() <= bound + luck
    assert found["combined_labels"]["decline"]["coverage"] > found["labels"]["decline"]["coverage"]
