"""What is remembered of one key (a customer, a terminal): its events within the horizon, and their labels.

Format 1, little-endian: version (u8), number of value columns (u8), events (u32), positives (u32); then the
event times (f64, seconds since 1970, rising), the ids (u64 hashes), each value column (f64), and the times of
the events with a positive label (f64, rising). 16 bytes an event, and 8 for each value column.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right, insort
from itertools import accumulate
from typing import Any

_HEAD = struct.Struct("<BBII")
FORMAT = 1
MOST_EVENTS = 20_000
"""Of one key: more than any cardholder makes, so that one key cannot fill memory. The oldest go first."""


class KeyHistory:
    """Events of one key in order of time. Prefix sums answer any window in O(log n)."""

    __slots__ = ("_sums", "ids", "positives", "times", "values")

    def __init__(self, columns: int) -> None:
        self.times: list[float] = []
        self.ids: list[int] = []
        self.values: tuple[list[float], ...] = tuple([] for _ in range(columns))
        self.positives: list[float] = []
        self._sums: tuple[list[float], ...] | None = None

    def holds(self, at: float, event: int) -> bool:
        """Is this very event there already?"""
        first, last = bisect_left(self.times, at), bisect_right(self.times, at)
        return event in self.ids[first:last]

    def add(self, at: float, event: int, values: tuple[float, ...]) -> None:
        """Put in an event, wherever in time it belongs."""
        place = bisect_right(self.times, at)
        late = place < len(self.times)
        self.times.insert(place, at)
        self.ids.insert(place, event)
        for column, value in zip(self.values, values, strict=True):
            column.insert(place, value)
        if self._sums is not None:
            if late:
                self._sums = None
            else:
                for sums, value in zip(self._sums, values, strict=True):
                    sums.append(sums[-1] + value)
        if len(self.times) > MOST_EVENTS:
            self._drop(len(self.times) - MOST_EVENTS)

    def label(self, at: float) -> None:
        """One event at this time has the positive label."""
        insort(self.positives, at)

    def confirm(self, at: float, event: int) -> None:
        """This event has the positive label, once however often that is said; one that was never counted, or
        is forgotten, has none, so that there are never more labels than events."""
        if not self.holds(at, event):
            return
        there = bisect_right(self.times, at) - bisect_left(self.times, at)
        if bisect_right(self.positives, at) - bisect_left(self.positives, at) < there:
            self.label(at)

    def forget(self, before: float) -> None:
        """Drop what no window reaches any more. Cheap when there is little to drop."""
        old = bisect_right(self.times, before)
        if old > 16 and old * 4 > len(self.times):
            self._drop(old)
        gone = bisect_right(self.positives, before)
        if gone:
            del self.positives[:gone]

    def trimmed(self, before: float) -> None:
        """Drop all that no window reaches."""
        if old := bisect_right(self.times, before):
            self._drop(old)
        if gone := bisect_right(self.positives, before):
            del self.positives[:gone]

    def place(self, until: float) -> int:
        """How many events lie at or before a time: windows are spans between two places."""
        return bisect_right(self.times, until)

    def mean(self, column: int, first: int, last: int) -> float:
        """Mean of a value over the events from place `first` up to `last`, 0 without any."""
        if last <= first:
            return 0.0
        sums = self._prefix()[column]
        return (sums[last] - sums[first]) / (last - first)

    def positive(self, after: float, until: float) -> int:
        """Positive labels of events in (after, until]."""
        if not self.positives:
            return 0
        return bisect_right(self.positives, until) - bisect_right(self.positives, after)

    def before(self, at: float) -> float | None:
        """The time of the latest event up to `at`, which is not in here itself yet; None without any."""
        place = bisect_right(self.times, at)
        return self.times[place - 1] if place else None

    def dump(self) -> bytes:
        """As bytes of format 1."""
        head = _HEAD.pack(FORMAT, len(self.values), len(self.times), len(self.positives))
        parts: list[array[Any]] = [array("d", self.times), array("Q", self.ids)]
        parts += [array("d", column) for column in (*self.values, self.positives)]
        return head + b"".join(part.tobytes() for part in parts)

    def _drop(self, number: int) -> None:
        del self.times[:number]
        del self.ids[:number]
        for column in self.values:
            del column[:number]
        self._sums = None

    def _prefix(self) -> tuple[list[float], ...]:
        if self._sums is None:
            self._sums = tuple([0.0, *accumulate(column)] for column in self.values)
        return self._sums


def load_history(raw: bytes, columns: int) -> KeyHistory:
    """The history that `dump` wrote. Raises `ValueError` for anything else."""
    if len(raw) < _HEAD.size:
        raise ValueError("expected a key history, got fewer bytes than its head has")
    version, found, events, positives = _HEAD.unpack_from(raw)
    size = _HEAD.size + 8 * (events * (2 + columns) + positives)
    if version != FORMAT or found != columns or len(raw) != size:
        raise ValueError(f"expected a key history of format {FORMAT} with {columns} values and {size} bytes")
    history = KeyHistory(columns)
    at = _HEAD.size
    places: list[tuple[str, list[Any], int]] = [("d", history.times, events), ("Q", history.ids, events)]
    places += [("d", column, events) for column in history.values]
    for code, target, number in [*places, ("d", history.positives, positives)]:
        part: array[Any] = array(code)
        part.frombytes(raw[at : at + 8 * number])
        target.extend(part)
        at += 8 * number
    return history
