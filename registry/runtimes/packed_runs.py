"""Counting the character n-grams of a plain ASCII text as whole numbers, twice as fast as by strings.

A run of up to seven bytes and its length fit into 64 bits. So all runs of a text are made by a few array
operations and found by binary search, where strings would be cut out, hashed and looked up one by one.
"""

from collections.abc import Collection, Mapping

import numpy as np

_LENGTH_SHIFT = 56
_NONE = np.iinfo(np.int64).max


class PackedRuns:
    """The ASCII n-grams of these sizes (at most 7) in a vocabulary, n-gram -> column."""

    def __init__(self, columns: Mapping[str, int], sizes: Collection[int]) -> None:
        self._sizes = tuple((size, (1 << 8 * size) - 1, size << _LENGTH_SHIFT) for size in sizes)
        packed = sorted(
            (_pack(ngram), column)
            for ngram, column in columns.items()
            if ngram.isascii() and len(ngram) in sizes
        )
        self._keys = np.array(
            [key for key, _ in packed] + [_NONE], np.int64
        )  # the search never ends behind it
        self._columns = np.array([column for _, column in packed] + [-1], np.int64)

    def count(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Known columns in an ASCII text, ascending, and how often each occurs."""
        padded = text.encode("ascii")
        windows = np.ndarray((len(padded),), "<i8", padded + bytes(7), strides=(1,))
        runs = np.concatenate(
            [windows[: max(0, len(padded) - size + 1)] & mask | length for size, mask, length in self._sizes]
        )
        at = self._keys.searchsorted(runs)
        found = self._columns[at[self._keys[at] == runs]]
        found.sort()
        first = np.ones(len(found) + 1, np.bool_)  # of each column's stretch, and the end of the last
        np.not_equal(found[1:], found[:-1], out=first[1:-1])
        starts = first.nonzero()[0]
        return found[starts[:-1]], (starts[1:] - starts[:-1]).astype(np.float64)


def _pack(ngram: str) -> int:
    return int.from_bytes(ngram.encode("ascii"), "little") | len(ngram) << _LENGTH_SHIFT
