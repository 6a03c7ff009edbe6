"""A sender's own score is weighed beside the model's, exactly explained, and never needed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from registry.errors import PackageInvalid
from registry.records import Acceptance, Combined, Contribution, Prediction, Relaxed
from registry.runtimes.federated import CLIP, FederatedPredictor, Weights, combined_with

WEIGHTS = Weights(score="device", own=0.8, theirs=0.5, offset=0.3, usual=-1.0)


class Model:
    """p(second label) is the input `p`; two contributions add up to its log-odds."""

    labels: tuple[str, ...] = ("no", "yes")

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        p = float(fields["p"])  # type: ignore[arg-type]  — a number
        odds, side = math.log(p / (1 - p)), 1.0 if p > 0.5 else -1.0
        told = (Contribution("a", 1.0, side * (odds + 2)), Contribution("b", 2.0, side * -2))
        return Prediction("yes" if p > 0.5 else "no", max(p, 1 - p), told)

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        p = np.array([float(row["p"]) for row in rows])  # type: ignore[arg-type]  — a number
        return np.stack([1 - p, p], axis=1)


BOTH = FederatedPredictor(Model(), WEIGHTS)


@pytest.mark.parametrize("p", [0.01, 0.4, 0.6, 0.99])
@pytest.mark.parametrize("score", [0, 0.1, 0.5, 0.97, 1])
def test_the_answer_is_the_logistic_of_both_and_its_reasons_add_up(p: float, score: float) -> None:
    found = BOTH.predict({"p": p, "device": score})
    clipped = min(max(score, CLIP), 1 - CLIP)
    odds = 0.8 * math.log(p / (1 - p)) + 0.5 * math.log(clipped / (1 - clipped)) + 0.3
    yes = 1 / (1 + math.exp(-odds))
    assert found.label == ("yes" if yes > 0.5 else "no")
    assert found.confidence == pytest.approx(max(yes, 1 - yes))
    assert BOTH.probabilities([{"p": p, "device": score}])[0, 1] == pytest.approx(yes)
    side = 1 if found.label == "yes" else -1
    base = 0.3 + 0.5 * WEIGHTS.usual
    assert sum(one.added for one in found.contributions) == pytest.approx(side * (odds - base))
    assert found == BOTH.predict({"device": score, "p": p})


def test_without_a_score_the_model_answers_as_it_is_and_says_so() -> None:
    for fields in ({"p": 0.3}, {"p": 0.3, "device": None}, {"p": 0.3, "device": math.nan}):
        found, alone = BOTH.predict(fields), Model().predict(fields)
        assert (found.label, found.confidence, found.contributions) == (
            alone.label, alone.confidence, alone.contributions,
        )  # fmt: skip
        assert found.combined is False
        assert BOTH.probabilities([fields])[0, 1] == pytest.approx(0.3)


@pytest.mark.parametrize("score", ["0.5", True, -0.1, 1.5])
def test_what_is_no_score_is_an_error_and_never_a_guess(score: object) -> None:
    with pytest.raises(ValueError, match="expected a score from 0 to 1"):
        BOTH.predict({"p": 0.3, "device": score})


def test_combined_answers_have_rules_of_their_own_and_without_them_none_is_accepted() -> None:
    alone = Acceptance(threshold=0.9, max_error=0.01, confidence=0.95, method="x")
    own = Combined(threshold=0.5, max_error=0.02, by_label={"yes": Relaxed(threshold=0.7, max_error=0.2)})
    both = alone.model_copy(update={"combined": own})
    assert both.rule_for("yes") == (0.9, 0.01)
    assert both.rule_for("no", combined=True) == (0.5, 0.02)
    assert both.rule_for("yes", combined=True) == (0.7, 0.2)
    assert not alone.accepts(Prediction("yes", 1.0, combined=True))


@pytest.mark.parametrize(
    "raw", [b"{}", b"[]", b'{"score": "x", "own": -1, "theirs": 1, "offset": 0, "usual": 0}']
)
def test_weights_that_are_none_are_refused(raw: bytes) -> None:
    with pytest.raises(PackageInvalid, match=r"federated\.json"):
        combined_with(Model(), raw)
