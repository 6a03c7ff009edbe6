"""Finds one decision: the database says where, the journal says what; cost does not grow with the journal."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.chain import from_line
from services.errors import StateUnavailable
from services.evidence.vouching import Vouching
from services.journal_reader import Entry, find_decision, journal_files
from services.state.decisions import Decisions, Row

SLACK = timedelta(days=1)
"""How far the clock may have jumped between an id and its file."""


class DecisionFinder:
    """`store` None, or away: the files are read, newest first, which grows with the journal."""

    def __init__(self, journal: Path, store: Decisions | None, node: str, vouching: Vouching) -> None:
        self._journal = journal
        self._store = store
        self._node = node
        self._vouching = vouching

    def find(self, decision_id: str, *, thorough: bool = False) -> Entry | None:
        """The record of one decision, redacted, as the journal has it. Files that no worker of this home
        began are not looked into. What the database lacks is looked for beyond what was shipped, then in
        the files of the id's own time; with `thorough` in all of them. Only where its file is gone is a row
        shown that proves itself, `in_journal` False."""
        ours = [file for file in reversed(journal_files(self._journal)) if not self._refusal(file)]
        offsets: dict[str, int] = {}
        if self._store is not None:
            try:
                row = self._store.find(decision_id)
                if row is not None and not (self._journal / Path(row.file).name).exists():
                    return _proved(row, decision_id) or find_decision(ours, decision_id)
                if row is not None:
                    entry = find_decision([f for f in ours if f.name == row.file], decision_id)
                    if entry is not None:
                        return entry
                offsets = {file: p.offset for file, p in self._store.positions(self._node).items()}
            except StateUnavailable:
                return find_decision(ours, decision_id)
            found = find_decision(ours, decision_id, offsets)
            if found is not None:
                return found
        if self._store is not None and not thorough:
            ours = list(_of_its_time(ours, decision_id))
        return find_decision(ours, decision_id)

    def _refusal(self, file: Path) -> str | None:
        try:
            return self._vouching.refusal(file)
        except OSError:
            return "cannot be read"


def _proved(row: Row, decision_id: str) -> Entry | None:
    try:
        link = from_line(row.line.encode("utf-8", "replace"))
    except ValueError:
        return None
    if link.hash != row.hash or link.record.get("id") != decision_id:
        return None
    return replace(Entry(row.file, link.record, link.hash), in_journal=False)


def _of_its_time(files: Iterable[Path], decision_id: str) -> Iterable[Path]:
    """Files that were begun before the id's own time and written after it; an id begins with milliseconds
    since 1970."""
    try:
        at = datetime.fromtimestamp(int(decision_id[:12], 16) / 1000, UTC)
        first, last = at - SLACK, at + SLACK
    except (ValueError, OverflowError, OSError):
        return
    for file in files:
        begun = f"{last:%Y%m%dT%H%M%S}"
        if file.name[: len(begun)] <= begun and file.stat().st_mtime >= first.timestamp():
            yield file
