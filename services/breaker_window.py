"""The sliding window of one breaker in one worker: what all workers shared, and what is not shared yet."""

from collections.abc import Iterable, Sequence

from services.breaker import Counts
from services.state.counters import Bucket


class Window:
    """Call counts by second, of one epoch. Times are the store's clock in ms.

    A call is counted at once, and pushed to the store in the background; `taken` is being pushed.
    """

    def __init__(self, window_s: int) -> None:
        self._window_s = window_s
        self._epoch = 0
        self._shared: dict[int, list[int]] = {}
        self._taken: dict[int, list[int]] = {}
        self._own: dict[int, list[int]] = {}
        self._sum = [0, 0, 0]
        self._sum_at: int | None = None

    def begin(self, epoch: int) -> None:
        """Forget everything: the breaker is in another epoch."""
        self._epoch = epoch
        self._shared, self._taken, self._own = {}, {}, {}
        self._sum_at = None

    def add(self, now_ms: int, *, error: bool, slow: bool) -> Counts:
        """Count one call, and say how the window stands."""
        second = now_ms // 1000
        counts = self._own.get(second)
        if counts is None:
            counts = self._own[second] = [0, 0, 0]
        if self._sum_at != second:
            self.counts(now_ms)
        for three in (counts, self._sum):
            three[0] += 1
            three[1] += error
            three[2] += slow
        return Counts(*self._sum)

    def counts(self, now_ms: int) -> Counts:
        """Calls of the window that ends now. Worked out anew once a second; `add` keeps it up to date."""
        second = now_ms // 1000
        if self._sum_at != second:
            self._forget_before(second - self._window_s + 1)
            self._sum = [0, 0, 0]
            for part in (self._shared, self._taken, self._own):
                for at, counts in part.items():
                    if at <= second:  # a later one is from before the clock went back
                        self._sum = [a + b for a, b in zip(self._sum, counts, strict=True)]
            self._sum_at = second
        return Counts(*self._sum)

    def take(self) -> list[Bucket]:
        """What is not shared yet, to be pushed. It is taken again until `pushed` says that it was."""
        self._merge(self._taken, self._own)
        self._own = {}
        return [Bucket(self._epoch, at, *counts) for at, counts in self._taken.items()]

    def pushed(self, everyone: Iterable[Bucket]) -> None:
        """The store has what was taken; `everyone` is all that it has, this worker's calls included."""
        self._taken = {}
        self._shared = {b.second: [b.calls, b.errors, b.slow] for b in everyone if b.epoch == self._epoch}
        self._sum_at = None

    def _forget_before(self, oldest: int) -> None:
        for part in (self._shared, self._taken, self._own):
            for at in [at for at in part if at < oldest]:
                del part[at]

    @staticmethod
    def _merge(into: dict[int, list[int]], other: dict[int, list[int]]) -> None:
        for at, counts in other.items():
            have: Sequence[int] = into.get(at, (0, 0, 0))
            into[at] = [a + b for a, b in zip(have, counts, strict=True)]
