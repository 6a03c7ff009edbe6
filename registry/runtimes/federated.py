"""Combines a model of two labels with a score that the sender worked out itself (the federated pattern).

A logistic regression on two log-odds, the model's own and the sender's, whose weights are in the package:

    logit p = own * logit(p_model) + theirs * logit(clip(score)) + offset

Without a score the model answers as it is. Reasons stay exact: Shapley values of a sum of parts that share
no input add up, so each of the model's is weighed by `own`, and the score adds what it says beyond `usual`,
the mean of its log-odds where the weights were learned.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import PackageInvalid
from registry.records import Contribution, Prediction

if TYPE_CHECKING:
    from registry.runtimes import Predictor

FEDERATED = "federated.json"
CLIP = 1e-4
"""A score of 0 or 1 claims certainty, and nobody has it: scores count as at least this far from either."""
TINY = 1e-7  # of the model's own probabilities: 32 bits hold no more


class Weights(BaseModel):
    """`federated.json`: the field that holds the score, and how much which side counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    score: str = Field(min_length=1)
    own: float = Field(gt=0)
    theirs: float = Field(ge=0)
    offset: float
    usual: float

    def combine(
        self, positive: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """(n,) probabilities of the second label, from the model's own and the sender's scores."""
        odds = self.own * log_odds(positive, TINY) + self.theirs * log_odds(scores, CLIP) + self.offset
        found: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
        return found


def log_odds(values: npt.NDArray[np.float64], clip: float) -> npt.NDArray[np.float64]:
    """Log-odds of probabilities that are taken for at least `clip` from 0 and 1."""
    clipped = np.clip(np.asarray(values, np.float64), clip, 1 - clip)
    found: npt.NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return found


class FederatedPredictor:
    """`inner`, and a sender's score where one comes with the request."""

    def __init__(self, inner: "Predictor", weights: Weights) -> None:
        if len(inner.labels) != 2:
            raise PackageInvalid(f"{FEDERATED}: expected a model of two labels, got {len(inner.labels)}")
        self.labels: tuple[str, ...] = inner.labels
        self.weights = weights
        self._inner = inner

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        """As `inner` says, or combined. Raises `ValueError` for a score that is none."""
        said = self._inner.predict(fields)
        score = _score(fields.get(self.weights.score))
        if score is None:
            return replace(said, combined=False)
        own = said.confidence if said.label == self.labels[1] else 1.0 - said.confidence
        positive = float(self.weights.combine(np.array([own]), np.array([score]))[0])
        best = int(positive > 0.5)  # as argmax: the first label at a tie
        side = 1.0 if best == 1 else -1.0
        flipped = side * (1.0 if said.label == self.labels[1] else -1.0)
        scale = self.weights.own * flipped
        told = [replace(one, added=scale * one.added) for one in said.contributions]
        told.append(Contribution(self.weights.score, score, side * self._added(score)))
        told.sort(key=lambda one: -abs(round(one.added, 9)))  # stable: equal ones keep their order
        confidence = positive if best == 1 else 1.0 - positive
        return Prediction(self.labels[best], confidence, tuple(told), combined=True)

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        """(n, 2), each row with its score where it has one."""
        found = np.asarray(self._inner.probabilities(rows), np.float64)
        scores = [_score(row.get(self.weights.score)) for row in rows]
        there = [at for at, score in enumerate(scores) if score is not None]
        if there:
            given = np.array([scores[at] for at in there], np.float64)
            positive = self.weights.combine(found[there, 1], given)
            found[there] = np.stack([1.0 - positive, positive], axis=1)
        return found

    def _added(self, score: float) -> float:
        return self.weights.theirs * (float(log_odds(np.array([score]), CLIP)[0]) - self.weights.usual)


def combined_with(inner: "Predictor", raw: bytes) -> FederatedPredictor:
    """`inner` with the weights of federated.json. Raises `PackageInvalid`."""
    try:
        weights = Weights.model_validate_json(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise PackageInvalid(f"{FEDERATED}: {where or 'the document'}: not as expected") from None
    return FederatedPredictor(inner, weights)


def _score(value: object) -> float | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"expected a score from 0 to 1, got {type(value).__name__}")
    return float(value)
