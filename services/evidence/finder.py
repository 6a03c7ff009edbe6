"""Finds one decision: in the database, else in what the files hold beyond it; cost does not grow."""

from pathlib import Path

from services.chain import from_line
from services.errors import StateUnavailable
from services.journal_reader import Entry, find_decision
from services.state.decisions import Decisions, Position


class DecisionFinder:
    """`store` None, or away: the files are read, newest first, which grows with the journal."""

    def __init__(self, journal: Path, store: Decisions | None, node: str) -> None:
        self._journal = journal
        self._store = store
        self._node = node

    def find(self, decision_id: str) -> Entry | None:
        """The record of one decision, redacted; a row that does not prove itself is not shown."""
        positions: dict[str, Position] = {}
        if self._store is not None:
            try:
                row = self._store.find(decision_id)
                if row is not None:
                    link = from_line(row.line.encode())
                    if link.hash == row.hash and link.record.get("id") == decision_id:
                        return Entry(row.file, link.record, link.hash)
                else:
                    positions = self._store.positions(self._node)
            except (StateUnavailable, ValueError):
                positions = {}
        return find_decision(self._journal, decision_id, {n: p.offset for n, p in positions.items()})
