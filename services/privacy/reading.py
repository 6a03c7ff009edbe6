"""One text, read once for all recognisers: its plain form, its rows of digits, and the words around them."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

_DIGITS = re.compile(r"[0-9]+")
_GAP = re.compile(r"[\s\-._/()]{1,3}")
_WIDE_GAP = re.compile(r"(?:([\W_])\1{0,15}+){1,6}+")  # possessive: one pass, however the gap is made
_WIDEST = 32
_SIDE = 40  # characters of text around a digit that a recogniser of letters and digits gets to see


class Words:
    """Words that make a number mean something, as one text: `passport, kontonummer, date of birth, dob$`.

    Lower case; each counts where a word begins with it, or where a word is all of it if it ends in `$`.
    """

    def __init__(self, listed: str) -> None:
        self.words = tuple((word.removesuffix("$"), word.endswith("$")) for word in phrases(listed))


def phrases(listed: str) -> tuple[str, ...]:
    """A list written as text: commas between, any line breaks."""
    return tuple(" ".join(phrase.split()) for phrase in listed.split(",") if phrase.strip())


@dataclass(frozen=True, slots=True)
class Run:
    """Whole groups of digits that stand together: `text[start:end]`, its digits alone, their grouping."""

    start: int
    end: int
    digits: str
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Groups of digits with only separators between one and the next. `before[i]` counts the
    digits in front of group i, with one more entry for all of them."""

    groups: list[tuple[int, int]]
    digits: str
    before: list[int]

    def run(self, first: int, last: int) -> Run:
        """Groups `first` to `last` (not included)."""
        row = self.groups[first:last]
        return Run(
            row[0][0],
            row[-1][1],
            self.digits[self.before[first] : self.before[last]],
            tuple([end - start for start, end in row]),
        )

    def end_of(self, first: int, length: int) -> int | None:
        """Where a row of exactly `length` digits from group `first` on ends, if whole groups make one."""
        wanted = self.before[first] + length
        last = bisect_left(self.before, wanted, first + 1)
        return last if last < len(self.before) and self.before[last] == wanted else None


class Reading:
    """A plain text and what recognisers ask about it. Lives as long as one scan."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._places: dict[Words, list[int]] = {}

    @cached_property
    def lower(self) -> str:
        """Lower case, with every character where it stands in `text`."""
        lower = self.text.lower()
        if len(lower) == len(self.text):
            return lower
        return "".join([small if len(small := char.lower()) == 1 else char for char in self.text])

    @cached_property
    def groups(self) -> list[tuple[int, int]]:
        """Start and end of every unbroken row of digits."""
        return [match.span() for match in _DIGITS.finditer(self.text)]

    @cached_property
    def clusters(self) -> list[Cluster]:
        return self._clusters(_GAP, 3)

    @cached_property
    def wide_clusters(self) -> list[Cluster]:
        """Groups with up to six signs of any kind between them, each up to 16 times: for numbers that a sum
        over their digits guards well enough."""
        return self._clusters(_WIDE_GAP, _WIDEST)

    def _clusters(self, gap: re.Pattern[str], widest: int) -> list[Cluster]:
        rows: list[list[tuple[int, int]]] = []
        end = -1
        for group in self.groups:
            if rows and group[0] - end <= widest and gap.fullmatch(self.text, end, group[0]):
                rows[-1].append(group)
            else:
                rows.append([group])
            end = group[1]
        return [self._cluster(row) for row in rows]

    def _cluster(self, row: list[tuple[int, int]]) -> Cluster:
        before = [0]
        for start, end in row:
            before.append(before[-1] + end - start)
        return Cluster(row, "".join([self.text[start:end] for start, end in row]), before)

    def runs(self, lengths: Collection[int], most_groups: int) -> Iterator[Run]:
        """Every row of at most `most_groups` neighbouring groups whose digits number one of `lengths`."""
        shortest, longest = min(lengths), max(lengths)
        for cluster in self.clusters:
            before, count = cluster.before, len(cluster.groups)
            if before[-1] < shortest:
                continue
            for first in range(count):
                for last in range(first + 1, min(count, first + most_groups) + 1):
                    size = before[last] - before[first]
                    if size > longest:
                        break
                    if size in lengths:
                        yield cluster.run(first, last)

    @cached_property
    def windows(self) -> list[tuple[int, int]]:
        """Stretches around digits, cut at white space where it is near: enough for any id with letters."""
        return disjoint([(self._back(start - _SIDE), self._forth(end + _SIDE)) for start, end in self.groups])

    def _back(self, at: int) -> int:
        for place in range(max(at, 0), max(at - _SIDE, 0), -1):
            if self.text[place - 1].isspace():
                return place
        return max(at - _SIDE, 0)

    def _forth(self, at: int) -> int:
        for place in range(at, min(at + _SIDE, len(self.text))):
            if self.text[place].isspace():
                return place
        return min(at + _SIDE, len(self.text))

    def places(self, words: Words) -> list[int]:
        """Where these words begin, in order. Looked up once a text."""
        known = self._places.get(words)
        if known is None:
            lower = self.lower
            there = [(word, whole) for word, whole in words.words if word in lower]
            known = self._places[words] = sorted({at for word in there for at in self._begin(*word)})
        return known

    def _begin(self, word: str, whole: bool) -> Iterator[int]:
        lower = self.lower
        at = lower.find(word)
        while at >= 0:
            end = at + len(word)
            if not (at and lower[at - 1].isalpha()) and not (whole and lower[end : end + 1].isalpha()):
                yield at
            at = lower.find(word, end)

    def near(self, words: Words, start: int, end: int, before: int = 48, after: int = 24) -> bool:
        """Does one of `words` begin within `before` characters of start, or `after` of end?"""
        places = self.places(words)
        if not places:
            return False
        index = bisect_left(places, start - before)
        if index < len(places) and places[index] < start:
            return True
        index = bisect_left(places, end)
        return index < len(places) and places[index] < end + after


def overlaps(start: int, end: int, taken: list[tuple[int, int]]) -> bool:
    """Does start:end touch any of these sorted, disjoint stretches?"""
    index = bisect_left(taken, (end,))
    return index > 0 and taken[index - 1][1] > start


def disjoint(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted and merged."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
