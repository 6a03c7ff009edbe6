"""A promise is refuted by what a rule lets through, exactly, and not by chance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from registry.promise import Promise, promises, refuted
from registry.records import Acceptance, Relaxed

RULE = Acceptance(threshold=0.8, max_error=0.02, confidence=0.95, method="test")
BY_LABEL = RULE.model_copy(update={"by_label": {"no": Relaxed(threshold=0.5, max_error=0.2)}})


def test_only_what_is_accepted_counts_and_each_label_with_a_rule_by_itself() -> None:
    answers, right = ["yes", "yes", "no", "no", "yes"], [True, False, False, True, False]
    assert promises(RULE, answers, [0.9, 0.8, 0.9, 0.5, 0.1], right) == (Promise(None, 3, 2, 0.02),)
    assert promises(BY_LABEL, answers, [0.9, 0.8, 0.9, 0.5, 0.1], right) == (
        Promise(None, 2, 1, 0.02),
        Promise("no", 2, 1, 0.2),
    )


def test_a_rule_that_lets_everything_through_is_refuted_where_the_model_is_not_that_good() -> None:
    """As many guesses are right as before: their accuracy alone would not tell."""
    right = [True] * 930 + [False] * 70
    loose = RULE.model_copy(update={"threshold": 0.0})
    (broken,) = refuted(promises(loose, ["yes"] * 1000, [0.5] * 1000, right), 0.95)
    assert broken.said == "70 of 1000 accepted answers are wrong, promised is 0.02"
    assert refuted(promises(RULE, ["yes"] * 1000, [0.5] * 1000, right), 0.95) == ()  # it accepts nothing


@given(accepted=st.integers(1, 2000), error=st.floats(0.001, 0.5), seed=st.integers(0, 99))
def test_a_promise_that_is_kept_just_so_is_seldom_refuted(accepted: int, error: float, seed: int) -> None:
    wrong = np.random.default_rng(seed).binomial(accepted, error, size=400)
    found = sum(bool(refuted([Promise(None, accepted, int(w), error)], 0.95)) for w in wrong)
    assert found <= 400 * 0.05 + 4 * (400 * 0.05 * 0.95) ** 0.5


def test_more_wrong_answers_are_never_less_refuted() -> None:
    found = [bool(refuted([Promise(None, 200, wrong, 0.02)], 0.95)) for wrong in range(201)]
    assert found == sorted(found)
    assert (found[4], found[12]) == (False, True)
