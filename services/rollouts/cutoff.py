"""Cuts a candidate off inside one worker when it fails hard, without waiting for anybody.

Hard: it raises, gives a number that is none, or breaks the output contract. Each worker may see so many of
these that all of one server together see no more than `HARD_FAILURES`.
"""

HARD_FAILURES = 10
PROVEN = 20  # sound answers, from which on calls to it need not be held back
FORGIVEN = 100  # so many sound answers in a row make up for one failure


def limit_of(workers: int) -> int:
    """How many hard failures one of so many workers lets a candidate have."""
    return max(1, HARD_FAILURES // workers)


class Cutoff:
    """One candidate in one worker. Used from its event loop only."""

    def __init__(self, limit: int) -> None:
        self.failures = 0
        self.last = ""
        self._limit = limit
        self._sound = 0
        self._in_a_row = 0
        self._asked = 0

    @property
    def cut(self) -> bool:
        return self.failures >= self._limit

    @property
    def may_ask(self) -> bool:
        """False too while as many are under way as may fail yet, until the candidate has proven itself."""
        return not self.cut and (self._sound >= PROVEN or self.failures + self._asked < self._limit)

    def begin(self) -> None:
        self._asked += 1

    def end(self, failed: str | None, *, sound: bool) -> None:
        """One question is over; `failed` says how. Neither failed nor sound: it says nothing."""
        self._asked -= 1
        if failed is not None:
            self.failures, self._in_a_row, self.last = self.failures + 1, 0, failed
        if failed is not None or not sound:
            return
        self._sound += 1
        self._in_a_row += 1
        if self._in_a_row >= FORGIVEN and not self.cut:
            self.failures, self._in_a_row = max(0, self.failures - 1), 0
