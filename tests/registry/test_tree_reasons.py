"""Reasons are exact: equal to LightGBM's own Shapley values, and they add up to what the graph says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.kinds.tabular_classifier import Recipe, _train
from flows.kinds.tabular_export import write_model
from registry.runtimes.onnx_session import open_session
from registry.runtimes.tabular_classifier import MODEL, TabularPredictor
from registry.runtimes.tree_reasons import TREES, TreeReasons


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, Any]:
    draw = np.random.default_rng(5)
    seen = draw.normal(size=(1200, 6)).astype(np.float32).astype(np.float64)
    seen[:, 3] = np.round(seen[:, 3])
    truth = ((seen[:, 0] * seen[:, 1] + seen[:, 3]) > 0.5).astype(np.int64)
    model = _train(seen, truth, Recipe(trees=40, min_rows=10), 7)
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, model.dump_model(), tuple("abcdef"), 1.0, 0.0)
    return folder, seen, model


def session_of(folder: Path) -> Any:
    return open_session((folder / MODEL).read_bytes(), MODEL)


def test_contributions_are_those_of_treeshap(made: tuple[Path, np.ndarray, Any]) -> None:
    folder, seen, model = made
    reasons = TreeReasons((folder / TREES).read_bytes(), 6)
    theirs = model.predict(seen[:200], pred_contrib=True)
    ours = np.stack([reasons(row) for row in seen[:200].astype(np.float32)])
    assert np.abs(ours - theirs[:, :6]).max() < 1e-5
    assert abs(reasons.base - theirs[0, 6]) < 1e-5


def test_contributions_add_up_to_what_the_graph_says(made: tuple[Path, np.ndarray, Any]) -> None:
    folder, seen, _ = made
    reasons = TreeReasons((folder / TREES).read_bytes(), 6)
    predictor = TabularPredictor(("no", "yes"), tuple("abcdef"), reasons, session_of(folder))
    for row in seen[:50]:
        fields = dict(zip("abcdef", row.tolist(), strict=True))
        added, base = predictor.contributions(fields)
        p = predictor.probabilities([fields])[0, 1]
        assert abs(float(added.sum()) + base - np.log(p / (1 - p))) < 1e-3
        assert predictor.predict(fields) == predictor.predict(dict(reversed(fields.items())))


def test_a_missing_number_is_an_error_and_never_a_guess(made: tuple[Path, np.ndarray, Any]) -> None:
    folder, _, _ = made
    reasons = TreeReasons((folder / TREES).read_bytes(), 6)
    predictor = TabularPredictor(("no", "yes"), tuple("abcdef"), reasons, session_of(folder))
    with pytest.raises(ValueError, match="b: expected a finite number"):
        predictor.predict({"a": 1.0})


def test_leaves_are_plain_numbers(made: tuple[Path, np.ndarray, Any]) -> None:
    assert set(json.loads((made[0] / TREES).read_text())) == {
        "base",
        "value",
        "feature",
        "low",
        "high",
        "share",
    }
