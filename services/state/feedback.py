"""Feedback by decision and by the key that sent it, in SQLite or PostgreSQL."""

import asyncio
from dataclasses import dataclass
from weakref import WeakValueDictionary

from sqlalchemy import func, select

from services.feedback import Truth
from services.state.database import Database
from services.state.review_tables import feedback
from services.state.upsert import inserting


@dataclass(frozen=True, slots=True)
class Given:
    """One piece of feedback: by whom, of which decision, when (ISO 8601, UTC)."""

    decision_id: str
    source: str
    tenant: str
    use_case: str
    truth: Truth
    at: str


class Turns:
    """A lock for each name, kept while somebody holds it or waits for it. Of this process alone."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    def of(self, *name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


class FeedbackStore:
    """Every method raises `StateUnavailable` while the database cannot be reached. `turns`: whoever asks
    first and adds then holds that of the key and of the decision meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.turns = Turns()

    def of(self, decision_id: str, tenant: str) -> list[Truth]:
        """All that was said of one decision."""
        here = (feedback.c.decision_id == decision_id) & (feedback.c.tenant == tenant)
        with self._database.reading() as connection:
            rows = connection.execute(select(feedback.c.correct, feedback.c.label).where(here))
            return [Truth(bool(correct), label) for correct, label in rows]

    def since(self, source: str, tenant: str, at: str) -> tuple[int, str | None]:
        """How many pieces one key sent since that time, and when the oldest of them came."""
        here = (feedback.c.tenant == tenant) & (feedback.c.source == source) & (feedback.c.at > at)
        with self._database.reading() as connection:
            row = connection.execute(select(func.count(), func.min(feedback.c.at)).where(here)).one()
        return int(row[0]), row[1]

    def add(self, given: Given) -> None:
        """Keep it; what the same key said of the decision before is replaced."""
        values = {
            "decision_id": given.decision_id, "source": given.source, "tenant": given.tenant,
            "use_case": given.use_case, "correct": given.truth.correct, "label": given.truth.label,
            "at": given.at,
        }  # fmt: skip
        with self._database.writing() as connection:
            statement = inserting(connection, feedback).values(values)
            key = (feedback.c.decision_id, feedback.c.source)
            change = {name: values[name] for name in ("correct", "label", "at")}
            connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=change))
