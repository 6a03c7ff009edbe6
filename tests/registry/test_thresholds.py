"""Changes of thresholds: kept for good, one after the other, whoever writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from registry.rollout_errors import RolloutRefused
from registry.thresholds import Change, Thresholds
from tests.registry.test_rollouts import opened


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Thresholds]:
    with opened(request.param, tmp_path) as store:
        yield Thresholds(store.database)


def change(threshold: float, **changes: Any) -> Change:
    given = {"use_case": "desk", "model": "d" * 64, "at_s": 1.0, "by": "a test", "reason": "to see"}
    return Change(threshold=threshold, **(given | changes))


def test_every_change_is_kept_and_the_last_one_of_each_use_case_holds(kept: Thresholds) -> None:
    first, second = change(0.8), change(0.9, figures={"usd_before": 0.5})
    other = change(0.7, use_case="post")
    kept.change(first, 0)
    kept.change(other, 0)
    kept.change(second, 1)
    assert kept.history("desk") == [first, second]
    assert kept.last() == {"desk": second, "post": other}
    assert kept.history("nobody") == []


def test_of_two_who_change_at_once_one_is_refused(kept: Thresholds) -> None:
    kept.change(change(0.8), 0)
    with pytest.raises(RolloutRefused, match="expected change 0 to be the last"):
        kept.change(change(0.9), 0)
    assert kept.last()["desk"].threshold == 0.8


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(ValidationError):
        change(threshold)
