"""Trees on many rows: processes give what one gives; the common label is drawn without changing the odds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_checks.usecase import UseCase, load_usecase
from flows.kinds import tabular_classifier
from flows.kinds.tabular_classifier import fit

FOLDER = Path(__file__).parents[2] / "usecases"


@pytest.fixture(scope="module")
def usecase() -> UseCase:
    return load_usecase("fraud", FOLDER)


def made(usecase: UseCase, rows: int = 6000, rate: float = 0.02) -> pd.DataFrame:
    """Features of which `spent` alone says something of the label."""
    assert usecase.features is not None
    draw = np.random.default_rng(2)
    found = pd.DataFrame({name: draw.random(rows) for name in usecase.features.columns})
    found["at"] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), "min")
    bad = draw.random(rows) < rate
    return found.assign(spent=found["spent"] + bad, decision=np.where(bad, "decline", "approve"))


def test_processes_give_the_model_that_one_process_gives(
    usecase: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = made(usecase)
    recipe = {"trees": 20, "folds": 2, "min_rows": 10, "common_per_rare": 1000}
    alone = fit(rows, usecase, {**recipe, "jobs": 1}, 7)
    monkeypatch.setattr(tabular_classifier, "_FEW_ROWS", 10)
    shared = fit(rows, usecase, {**recipe, "jobs": 2}, 7)
    np.testing.assert_allclose(alone.probabilities(rows), shared.probabilities(rows), atol=1e-12)
    np.testing.assert_allclose(alone.oof, shared.oof, atol=1e-12)


def test_drawing_the_common_label_keeps_probabilities_what_they_say(
    usecase: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of the common rows is learned from; held-out probabilities still add up to what happened."""
    rows = made(usecase, 20_000)
    monkeypatch.setattr(tabular_classifier, "_FEW_ROWS", 10)
    found = fit(rows, usecase, {"trees": 40, "folds": 2, "min_rows": 10, "common_per_rare": 5, "jobs": 1}, 7)
    held = np.isfinite(found.oof).all(axis=1)
    happened = (rows["decision"] == "decline").to_numpy()[held].mean()
    assert found.oof[held, 1].mean() == pytest.approx(happened, rel=0.05)
    raw = found._scores(rows[held])  # before calibration already: drawn rows weigh as all of them
    assert (1 / (1 + np.exp(-raw))).mean() == pytest.approx(happened, rel=0.25)
