"""A network of one hidden layer, trained with dropout: the part of a text model that is not linear.

scikit-learn's MLPClassifier has no dropout (Srivastava et al. 2014), which is worth more than a point of
accuracy here (ADR 0003). AdamW (Loshchilov and Hutter 2019), warm-up over the first tenth of the steps,
then linear decay. One thread and one seed give the same numbers again on the same machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_MOMENTUM, _SCALE, _TINY = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
_BYTE = 256  # dropout draws bytes: four times as fast as floats


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train. An epoch has 30 steps or more: small data gets small batches."""

    hidden: int = 512
    epochs: int = 30
    batch: int = 256
    rate: float = 4e-3  # at `batch`; smaller batches take smaller steps
    decay: float = 0.1
    drop_input: float = 0.1
    drop_hidden: float = 0.6


@dataclass(frozen=True, slots=True)
class Network:
    """scores = max(0, x @ first + first_bias) @ second + second_bias."""

    first: Floats  # (d, hidden)
    first_bias: Floats  # (hidden,)
    second: Floats  # (hidden, k)
    second_bias: Floats  # (k,)

    def scores(self, design: Floats) -> Floats:
        """(n, k) log-odds, up to a constant a row."""
        hidden = np.maximum(design @ self.first + self.first_bias, 0)
        return np.asarray(hidden @ self.second + self.second_bias)


def train(design: Floats, truth: npt.NDArray[np.int64], weights: Floats, how: Settings, seed: int) -> Network:
    """Minimise the cross-entropy of `truth` (n,) given `design` (n, d); labels count by `weights` (k,)."""
    random = np.random.default_rng(seed)
    rows, width = design.shape
    batch = int(np.clip(rows // 30, 8, how.batch))
    batches = max(1, round(rows / batch))
    rate = how.rate * (batch / how.batch) ** 0.5
    total = how.epochs * batches
    parameters = [
        _normal(random, (width, how.hidden), 2 / width),
        np.zeros(how.hidden, np.float32),
        _normal(random, (how.hidden, len(weights)), 1 / how.hidden),
        np.zeros(len(weights), np.float32),
    ]
    optimiser = _AdamW(parameters, how.decay)
    for step in range(total):
        if step % batches == 0:
            order = np.array_split(random.permutation(rows), batches)
        chosen = order[step % batches]
        gradients = _gradients(parameters, design[chosen], truth[chosen], weights, how, random)
        progress = (step + 1) / total
        optimiser.step(gradients, rate * min(progress / 0.1, (1 - progress) / 0.9 + 1e-9))
    return Network(*parameters)


def _gradients(
    parameters: Sequence[Floats],
    inputs: Floats,
    truth: npt.NDArray[np.int64],
    weights: Floats,
    how: Settings,
    random: np.random.Generator,
) -> list[Floats]:
    first, first_bias, second, second_bias = parameters
    inputs = inputs * _dropout(random, inputs.shape, how.drop_input)
    hidden = inputs @ first + first_bias
    alive = (hidden > 0) * _dropout(random, hidden.shape, how.drop_hidden)
    hidden *= alive
    scores = hidden @ second + second_bias
    scores -= scores.max(axis=1, keepdims=True)
    wrong = np.exp(scores)
    wrong /= wrong.sum(axis=1, keepdims=True)
    wrong[np.arange(len(truth)), truth] -= 1
    wrong *= weights[truth, None] / np.float32(len(truth))
    back = (wrong @ second.T) * alive
    return [inputs.T @ back, back.sum(axis=0), hidden.T @ wrong, wrong.sum(axis=0)]


def _dropout(random: np.random.Generator, shape: tuple[int, ...], share: float) -> Floats:
    """Zeros for about `share` of the places, and what keeps the mean elsewhere."""
    kept = round(_BYTE * (1 - share))
    return (random.integers(0, _BYTE, shape, dtype=np.uint8) < kept) * np.float32(_BYTE / kept)


def _normal(random: np.random.Generator, shape: tuple[int, int], variance: float) -> Floats:
    return random.standard_normal(shape, dtype=np.float32) * np.float32(variance**0.5)


class _AdamW:
    """Changes the parameters in place; weight decay on matrices only."""

    def __init__(self, parameters: Sequence[Floats], decay: float) -> None:
        self._parameters = parameters
        self._decay = decay
        self._means = [np.zeros_like(p) for p in parameters]
        self._squares = [np.zeros_like(p) for p in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[Floats], rate: float) -> None:
        """One update. `gradients` are used as working space."""
        self._steps += 1
        mean_scale = np.float32(rate / (1 - float(_MOMENTUM) ** self._steps))
        square_scale = np.float32(1 / (1 - float(_SCALE) ** self._steps))
        for arrays in zip(self._parameters, gradients, self._means, self._squares, strict=True):
            _update(*arrays, mean_scale, square_scale, np.float32(1 - rate * self._decay))


def _update(
    parameter: Floats,
    gradient: Floats,
    mean: Floats,
    square: Floats,
    mean_scale: np.float32,
    square_scale: np.float32,
    shrink: np.float32,
) -> None:
    """In place, without new arrays: most of the time of training goes here."""
    mean *= _MOMENTUM
    mean += (1 - _MOMENTUM) * gradient
    gradient *= gradient
    gradient *= 1 - _SCALE
    square *= _SCALE
    square += gradient
    np.multiply(square, square_scale, out=gradient)
    np.sqrt(gradient, out=gradient)
    gradient += _TINY
    np.divide(mean, gradient, out=gradient)
    gradient *= mean_scale
    if parameter.ndim > 1:
        parameter *= shrink
    parameter -= gradient
