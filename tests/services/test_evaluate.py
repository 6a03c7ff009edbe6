"""Replaying labelled rows: the figures are those of the plan, and of the local model alone."""

import pytest

from services.evaluate import report
from services.replay import Replayed, plain, rows_of
from services.targets.local import Scored
from tests.fakes import support


def row(
    truth: str | None, route: str | None, label: str, sure: float, said: str, cost: float | None = 0.0
) -> Replayed:
    return Replayed(truth, route, label, 1.0, cost, (), Scored(said, sure, 0.8, "d" * 64))


def test_the_report_tells_the_plan_from_the_model_alone() -> None:
    """Accuracy over all rows, coverage and error over those it is sure of, routes as they were taken."""
    found = report(
        [
            row("a", "local", "a", 0.9, "a"),
            row("a", "local", "b", 0.9, "b"),
            row("a", "rules", "a", 0.5, "a"),
            row("b", "cloud/primary", "b", 0.5, "a", cost=0.004),
            row(None, "local", "a", 0.9, "a"),
            row(None, "cloud/primary", "x", 0.1, "a", cost=None),
        ]
    )
    assert found["n"] == 4
    assert found["accuracy"] == 0.5
    assert (found["local_coverage"], found["local_error"]) == (0.5, 0.5)
    assert found["routes"] == {
        "local": {"count": 2, "share": 0.5, "correct": 0.5},
        "rules": {"count": 1, "share": 0.25, "correct": 1.0},
        "cloud/primary": {"count": 1, "share": 0.25, "correct": 1.0},
    }
    assert found["outside"] == {"n": 2, "local_share": 0.5, "routes": {"local": 1, "cloud/primary": 1}}
    assert found["usd_per_1000"] == pytest.approx(0.8)
    assert found["unpriced"] == 1


def test_latency_percentiles_are_of_all_rows() -> None:
    """p50, p95 and p99 in milliseconds."""
    rows = [Replayed("a", "local", "a", float(ms), 0.0, (), None) for ms in range(1, 101)]
    assert report(rows)["latency_ms"] == {"p50": 50.5, "p95": 95.05, "p99": 99.01}
    assert report(rows)["accuracy"] is None


def test_table_values_become_plain_json() -> None:
    """No NumPy, no NaN: a missing optional value is left out."""
    import numpy as np
    import pandas as pd

    assert plain(np.int64(3)) == 3
    assert plain(pd.Timestamp("2026-11-22T09:30:00")) == "2026-11-22T09:30:00"
    usecase = support()
    records = pd.DataFrame({"text": ["hi", None], "intent": ["a", "b"]}).to_dict("records")
    assert [r.fields for r in rows_of(records, usecase, labelled=True)] == [{"text": "hi"}, {}]
