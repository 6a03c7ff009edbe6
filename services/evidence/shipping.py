"""One round of shipping: the journal's new decisions and the signed log's new entries go to the database."""

import logging
from dataclasses import dataclass
from pathlib import Path

from services.evidence.batches import START, next_batch
from services.evidence.signed_log import log_files
from services.evidence.vouching import Vouching
from services.journal_reader import journal_files
from services.state.decisions import Decisions, Position, Raced

log = logging.getLogger(__name__)

BATCH = 32
"""Small, so that its thread never holds the interpreter for long: requests come first."""


@dataclass(frozen=True, slots=True)
class Round:
    """`behind_bytes` is what is left, torn last lines included; `more` says that a full batch was taken."""

    shipped: int
    behind_bytes: int
    more: bool
    problems: tuple[str, ...]


class Shipment:
    """Remembers positions between rounds, so that a file which did not change costs one `stat`."""

    def __init__(
        self,
        journal: Path,
        logs: Path,
        store: Decisions,
        node: str,
        vouching: Vouching,
        batch: int = BATCH,
    ) -> None:
        self._journal = journal
        self._logs = logs
        self._store = store
        self._node = node
        self._vouching = vouching
        self._batch = batch
        self._positions: dict[str, Position] | None = None
        self._seen: dict[str, int] = {}  # size of a file when there was nothing more to ship
        self._log_sizes: dict[str, int] = {}
        self._heads: dict[str, int] | None = None
        self._named: set[str] = set()

    def round(self) -> Round:
        """Ship at most one batch of each file; one that no worker of this home began, or that cannot be
        read, is named instead. Raises `StateUnavailable`, OSError; nothing is lost then."""
        self._ship_log()
        if self._positions is None:
            self._positions = self._store.positions(self._node)
        shipped, behind, more = 0, 0, False
        refused: list[str] = []
        for file in journal_files(self._journal):
            refusal = self._refusal(file)
            if refusal is not None:
                refused.append(f"{file.name}: {refusal}")
                self._name(f"{file.name}: {refusal}; nothing of it is shipped")
                continue
            size = file.stat().st_size
            if self._seen.get(file.name) == size:
                behind += max(0, size - self._positions.get(file.name, START).offset)
                continue
            count, full = self._ship(file, size)
            shipped, more = shipped + count, more or full
            behind += max(0, size - self._positions.get(file.name, START).offset)
        broken = (f"{name}: {p.problem}" for name, p in sorted(self._positions.items()) if p.problem)
        return Round(shipped, behind, more, (*refused, *broken))

    def forget(self) -> None:
        """After a failure: read from the database again how far things are."""
        self._positions, self._heads = None, None
        self._seen.clear()
        self._log_sizes.clear()

    def _ship(self, file: Path, size: int) -> tuple[int, bool]:
        assert self._positions is not None
        before = self._positions.get(file.name, START)
        batch = next_batch(file, before, self._batch)
        if batch.after != before:
            try:
                twice = self._store.ship(self._node, file.name, before, batch.after, batch.rows)
            except Raced:  # retention, or another shipper: what it did is read in the next round
                self.forget()
                self._positions = self._store.positions(self._node)
                return 0, False
            self._positions[file.name] = batch.after
            for decision_id in twice:
                self._name(f"{file.name}: decision {decision_id} is recorded a second time; not shipped")
        if batch.after.problem:
            self._name(f"{file.name}: {batch.after.problem}; nothing behind it is shipped")
        full = batch.after.seq - before.seq >= self._batch
        if not full:
            self._seen[file.name] = size
        return len(batch.rows), full

    def _refusal(self, file: Path) -> str | None:
        try:
            return self._vouching.refusal(file)
        except OSError as error:
            return f"cannot be read ({error.strerror})"

    def _ship_log(self) -> None:
        if self._heads is None:
            self._heads = self._store.log_heads(self._node)
        for file in log_files(self._logs):
            size = file.stat().st_size
            if self._log_sizes.get(file.name) == size:
                continue
            lines = file.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
            first = self._heads.get(file.stem, 0)
            self._store.keep_entries(self._node, file.stem, first, lines[first:])
            self._heads[file.stem] = max(first, len(lines))
            self._log_sizes[file.name] = size

    def _name(self, problem: str) -> None:
        if problem not in self._named:
            self._named.add(problem)
            log.error("shipping: %s", problem)
