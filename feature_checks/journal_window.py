"""Which decisions are looked at: the newest so many, or a random sample of all since a moment.

Keeps a bounded number of rows, whatever the journal holds; how many there are, and by which route they were
answered, is counted over all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from feature_checks.errors import DriftInputError
from feature_checks.journal_columns import Block

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 20_000
"""The newest so many may be asked for, and fit into memory."""
SAMPLE = 5000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Window:
    """`rows` as of `journal_columns.Block`, oldest first; `total` decisions were in the window, answered by
    `routes`. `scanned` decisions of the use case were read in all."""

    rows: "pa.Table" = field(repr=False)
    total: int
    routes: Mapping[str, int]
    scanned: int
    lost: int
    emptied: int
    first: str
    last: str


def newest(blocks: Iterable[Block], count: int) -> Window:
    """The newest `count` decisions (at most `MOST_ROWS`). Raises `DriftInputError` where there are none."""
    if not 1 <= count <= MOST_ROWS:
        raise DriftInputError(f"a window of the newest decisions: expected 1 to {MOST_ROWS:,}, got {count:,}")
    kept = _Kept("ts", count)
    for block in blocks:
        kept.add(block, block.rows)
    rows = kept.table()
    return _window(kept, rows, len(rows), _routes(rows))


def since(blocks: Iterable[Block], moment: str, most: int = SAMPLE) -> Window:
    """A random sample of at most `most` decisions from `moment` (ISO 8601, UTC) on; the same at each call."""
    import pyarrow as pa
    from pyarrow import compute

    kept = _Kept("drawn", most)
    draw = np.random.default_rng(_SEED)
    total = 0
    routes: Counter[str] = Counter()
    for block in blocks:
        found = block.rows.filter(compute.greater_equal(block.rows["ts"], moment))
        total += len(found)
        routes.update(_routes(found))
        kept.add(block, found.append_column("drawn", pa.array(draw.random(len(found)))))
    return _window(kept, kept.table(), total, routes)


class _Kept:
    """The rows with the highest values of one column, at most twice `most` at a time."""

    def __init__(self, by: str, most: int) -> None:
        self._by, self._most = by, most
        self._parts: list[pa.Table] = []
        self.scanned = self.lost = self.emptied = 0

    def add(self, block: Block, rows: "pa.Table") -> None:
        self.scanned += len(block.rows)
        self.lost += block.lost
        self.emptied += block.emptied
        self._parts.append(self._best(rows))
        if sum(map(len, self._parts)) > 2 * self._most:
            self._parts = [self._best(self._all())]

    def table(self) -> "pa.Table":
        if not self._parts or not len(rows := self._best(self._all())):
            raise DriftInputError(
                f"the window is empty: {self.scanned:,} decisions of this use case are in the journal, and "
                "none is in the window; take a larger one (--since, --window), or send traffic first"
            )
        return rows.sort_by("ts")

    def _all(self) -> "pa.Table":
        import pyarrow as pa

        return pa.concat_tables(self._parts).combine_chunks()

    def _best(self, rows: "pa.Table") -> "pa.Table":
        from pyarrow import compute

        if len(rows) <= self._most:
            return rows
        return rows.take(compute.select_k_unstable(rows, self._most, [(self._by, "descending")]))


def _routes(rows: "pa.Table") -> dict[str, int]:
    counts = rows["route"].fill_null("none").value_counts().to_pylist()
    return {one["values"]: one["counts"] for one in counts}


def _window(kept: _Kept, rows: "pa.Table", total: int, routes: Mapping[str, int]) -> Window:
    first, last = rows["ts"][0].as_py(), rows["ts"][-1].as_py()
    return Window(rows, total, dict(routes), kept.scanned, kept.lost, kept.emptied, first, last)
