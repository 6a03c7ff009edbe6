"""What both sides of a rollout showed in one period: counts and sums that add up across workers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from registry.quantiles import BINS, bin_of
from registry.sequential import Array


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `n` requests had it."""

    n: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError("rate: expected 0 <= hits <= n")

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.n + other.n, self.hits + other.hits)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums over `n` amounts. `deviation`: squared distances of each from the mean of those before it, so
    that parts counted apart add up (see `sequential.Bounded`)."""

    n: int = 0
    total: float = 0.0
    deviation: float = 0.0

    def __post_init__(self) -> None:
        if not (self.n >= 0 and self.total >= 0 and self.deviation >= 0):  # NaN fails this too
            raise ValueError("amounts: expected numbers of 0 or more")

    def and_one(self, amount: float) -> "Amounts":
        """One more amount, 0 or more; the first one is compared with 0."""
        guess = self.total / self.n if self.n else 0.0
        return Amounts(self.n + 1, self.total + amount, self.deviation + (amount - guess) ** 2)

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.n + other.n, self.total + other.total, self.deviation + other.deviation)


@dataclass(frozen=True, slots=True)
class Latencies:
    """How many requests ended in each bin of `quantiles`; bins without any are left out."""

    counts: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(0 <= place <= BINS and count >= 0 for place, count in self.counts.items()):
            raise ValueError(f"latencies: expected bins 0 to {BINS} with counts of 0 or more")

    @classmethod
    def of(cls, milliseconds: Iterable[float]) -> "Latencies":
        return cls({}).and_these(milliseconds)

    def and_these(self, milliseconds: Iterable[float]) -> "Latencies":
        counts = dict(self.counts)
        for ms in milliseconds:
            place = bin_of(ms)
            counts[place] = counts.get(place, 0) + 1
        return Latencies(counts)

    @property
    def n(self) -> int:
        return sum(self.counts.values())

    def dense(self) -> Array:
        """One count for each bin."""
        dense = np.zeros(BINS + 1)
        for place, count in self.counts.items():
            dense[place] = count
        return dense

    def __add__(self, other: "Latencies") -> "Latencies":
        places = self.counts.keys() | other.counts.keys()
        return Latencies({p: self.counts.get(p, 0) + other.counts.get(p, 0) for p in places})


Measured = Rate | Amounts | Latencies


@dataclass(frozen=True, slots=True)
class Side:
    """One variant: how many sticky keys were given to it (each once), and each metric by its name.

    Requests that an operator forced, or that a kill switch moved, are counted nowhere.
    """

    keys: int = 0
    metrics: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Period:
    """Both variants over the same time."""

    stable: Side = Side()
    candidate: Side = Side()
