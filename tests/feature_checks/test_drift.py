"""Drift is found where it is, and not where it is not: by effect, rows and significance together."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.drift import Categories, DriftVerdict, Feature, Numbers, Texts, drift_verdict
from feature_checks.drift_measures import holm
from feature_checks.errors import DriftInputError

DRAW = np.random.default_rng(7)
WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrs"]


def made(rows: int, shift: float = 0.0, seed: int = 0) -> dict[str, Feature]:
    """A number, a category and a text; `shift` of the rows come from elsewhere."""
    draw = np.random.default_rng(seed)
    new = draw.random(rows) < shift
    texts = [" ".join(draw.choice(WORDS, 5)) + (" crypto" if moved else "") for moved in new]
    return {
        "amount": Numbers((draw.normal(size=rows) + 4 * new).tolist()),
        "label": Categories(np.where(new, "other", draw.choice(["a", "b", "c"], rows)).tolist()),
        "text": Texts(texts, draw.normal(size=(rows, 8)) + 3 * new[:, None]),
    }


REFERENCE = made(3000, seed=1)


def measures(verdict: DriftVerdict) -> dict[str, bool]:
    return {one.measure: one.drifted for one in verdict.features}


def test_undrifted_windows_raise_no_alarm() -> None:
    """Of any size: neither chance in a small window nor a trifle in a large one."""
    for seed, rows in ((2, 100), (3, 100), (4, 500), (5, 2000)):
        verdict = drift_verdict(REFERENCE, made(rows, seed=seed))
        assert not verdict.drifted, verdict
        assert set(measures(verdict)) == {
            "kolmogorov_smirnov", "psi", "classifier_two_sample", "new_vocabulary",
        }  # fmt: skip


def test_a_real_shift_is_found_by_every_measure_with_examples() -> None:
    verdict = drift_verdict(REFERENCE, made(300, shift=0.6, seed=6))
    assert verdict.drifted
    assert all(measures(verdict).values()), verdict
    assert "text" in verdict.reason
    shown = {one.measure: one.examples for one in verdict.features}
    assert shown["psi"][0].startswith("other: 0.0% -> ")
    assert shown["new_vocabulary"][0].startswith("crypto: ")
    assert all("crypto" in text for text in shown["classifier_two_sample"])


def test_a_significant_trifle_is_no_alarm_and_a_bound_is_the_teams_to_set() -> None:
    """Ten thousand rows make 0.1 significant; it is still below 0.2."""
    before, now = DRAW.normal(size=10_000), DRAW.normal(size=10_000) + 0.25
    reference, window = {"n": Numbers(before.tolist())}, {"n": Numbers(now.tolist())}
    verdict = drift_verdict(reference, window)
    assert verdict.features[0].adjusted < 1e-6
    assert not verdict.drifted
    assert drift_verdict(reference, window, bounds={"n": 0.05}).drifted


def test_too_few_rows_are_not_judged() -> None:
    verdict = drift_verdict(REFERENCE, made(99, shift=1.0))
    assert (verdict.drifted, verdict.features) == (False, ())
    assert "99 rows, at least 100 are needed" in verdict.reason


def test_many_categories_in_a_small_window_do_not_look_like_drift() -> None:
    """Raw PSI of 77 labels in 200 rows is over 0.2 by chance alone."""
    labels = [f"l{i}" for i in range(77)]
    for seed in range(10):
        draw = random.Random(seed)
        reference = {"label": Categories(draw.choices(labels, k=3000))}
        assert not drift_verdict(reference, {"label": Categories(draw.choices(labels, k=200))}).drifted
        gone = drift_verdict(reference, {"label": Categories(draw.choices(labels[:30], k=200))})
        assert gone.drifted
        assert gone.features[0].measure == "jensen_shannon"


def test_the_same_data_give_the_same_verdict() -> None:
    window = made(200, shift=0.3, seed=9)
    assert drift_verdict(REFERENCE, window) == drift_verdict(REFERENCE, window)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": Numbers([])}, "amount: the window is empty"),
        ({"amount": Categories(["a"] * 200)}, "of different kinds"),
        ({"amount": Numbers([float("nan")] * 200)}, "not finite"),
        ({"text": Texts(["a"] * 200, np.zeros((3, 8)))}, "one embedding for each text"),
        ({"more": Numbers([1.0])}, "same features"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(change: Any, message: str) -> None:
    with pytest.raises(DriftInputError, match=message):
        drift_verdict(REFERENCE, {**made(200), **change})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_makes_a_p_value_smaller_and_keeps_their_order(p_values: list[float]) -> None:
    """The smallest is multiplied by their number."""
    given_ = {str(i): p for i, p in enumerate(p_values)}
    adjusted = holm(given_)
    assert all(given_[name] <= adjusted[name] <= 1 for name in given_)
    ordered = sorted(given_, key=given_.__getitem__)
    assert [adjusted[n] for n in ordered] == sorted(adjusted.values())
    assert adjusted[ordered[0]] == pytest.approx(min(1.0, len(p_values) * min(p_values)))
