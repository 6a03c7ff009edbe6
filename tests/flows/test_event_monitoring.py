"""Events are watched by their features, as the journal keeps them with each decision."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_checks.drift_reference import Reference, inputs_version, read_reference, write_reference
from feature_checks.journal_columns import decision_blocks
from feature_checks.journal_window import Window, newest
from feature_checks.usecase import UseCase, load_usecase
from flows.embedding import open_embedder
from flows.judging import judge
from flows.monitored import event_features, input_features, prediction_features
from flows.steps.scores import row_thresholds
from registry.records import Acceptance, Prediction, Relaxed
from services.journal import Journal
from services.synthesis import Outcome
from services.values import Envelope

FOLDER = Path(__file__).parents[2] / "usecases"
RULE = Acceptance(
    threshold=0.1, max_error=0.01, confidence=0.95, method="test",
    by_label={"approve": Relaxed(threshold=0.9, max_error=0.01)},
)  # fmt: skip


class ByAmount:
    labels = ("approve", "decline")

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        raise AssertionError

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        p = np.array([min(0.99, float(row["spent"]) / 400) for row in rows])  # type: ignore[arg-type]  — a number
        return np.stack([1 - p, p], axis=1)


@pytest.fixture(scope="module")
def usecase() -> UseCase:
    return load_usecase("fraud", FOLDER)


def made(usecase: UseCase, count: int, spent: float = 50.0, seed: int = 1) -> list[dict[str, float]]:
    """Features of so many events."""
    assert usecase.features is not None
    draw = np.random.default_rng(seed)
    rows = draw.gamma(4, 0.25, (count, len(usecase.features.columns)))
    found = [dict(zip(usecase.features.columns, row.tolist(), strict=True)) for row in rows]
    return [{**one, "spent": one["spent"] * spent} for one in found]


def decided(folder: Path, usecase: UseCase, features: Sequence[Mapping[str, float] | None]) -> Window:
    """Those events as decisions in a journal of their own, read back."""
    journal = Journal(folder)

    async def write() -> None:
        for number, one in enumerate(features):
            fields: dict[str, Any] = {"transaction_id": number, "at": "2026-11-29T12:00:00Z",
                      "customer_id": f"id_{number:032x}", "terminal_id": 3, "amount": 5.0}  # fmt: skip
            envelope = Envelope(
                f"{number:032x}", usecase.name, "bank", fields, frozenset(), "0" * 64, features=one
            )
            output = {"decision": "approve"}
            await journal.append(envelope, Outcome("local", output, None, 0.9, False, (), (), (), {}, 0.0))

    asyncio.run(write())
    journal.close()
    return newest(decision_blocks(folder, usecase), len(features))


@pytest.fixture
def reference(usecase: UseCase) -> Reference:
    rows = made(usecase, 2000)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    inputs = {name: [5.0] * len(rows) for name in usecase.input} | {"device_score": [None] * len(rows)}
    found = dict(input_features(inputs, usecase, open_embedder())) | event_features(columns, usecase)
    p = ByAmount().probabilities(rows)
    found |= prediction_features(p, p.max(axis=1), ByAmount.labels, row_thresholds(p, ByAmount.labels, RULE))
    made_of = Reference(usecase.name, "v", inputs_version(usecase), open_embedder().name, found)
    return read_reference(*write_reference(made_of))


def test_ids_keys_and_the_time_are_no_features_and_a_hashed_key_loses_no_decision(
    reference: Reference, usecase: UseCase, tmp_path: Path
) -> None:
    watched = {name for name in reference.features if name.startswith(("input.", "feature."))}
    assert {"input.amount", "input.device_score missing", "feature.spent"} <= watched
    assert not watched & {"input.transaction_id", "input.customer_id", "input.terminal_id", "feature.night"}
    window = decided(tmp_path, usecase, made(usecase, 5))
    assert (len(window.rows), window.lost) == (5, 0)
    assert window.rows["field.customer_id"].to_pylist()[0].startswith("id_")


def test_a_new_pattern_is_an_alarm_and_usual_events_are_none(
    reference: Reference, usecase: UseCase, tmp_path: Path
) -> None:
    """A fifth of small payments moves what is spent; events without features count for what they have."""
    usual = [*made(usecase, 480, seed=2), *([None] * 20)]
    found = judge(
        usecase, reference, ByAmount(), RULE, decided(tmp_path / "a", usecase, usual), open_embedder(), "-"
    )
    assert not found.verdict.drifted, found.verdict
    new = [*made(usecase, 400, seed=3), *made(usecase, 100, spent=1.5, seed=4)]
    moved = judge(
        usecase, reference, ByAmount(), RULE, decided(tmp_path / "b", usecase, new), open_embedder(), "-"
    )
    drifted = {one.feature: one.size for one in moved.verdict.features if one.drifted}
    assert 0.1 < drifted["feature.spent"] < 0.3
    assert moved.retrain


def test_how_often_the_model_declines_is_told_by_the_rule_of_each_label(usecase: UseCase) -> None:
    p = np.array([[0.95, 0.05], [0.85, 0.15], [0.4, 0.6]])
    found = prediction_features(p, p.max(axis=1), ByAmount.labels, row_thresholds(p, ByAmount.labels, RULE))
    declined = found["operations.declined"]
    assert (declined.hits, declined.rows) == (1, 3)  # type: ignore[union-attr]  — it is a share
