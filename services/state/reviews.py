"""The review queue in SQLite or PostgreSQL: bounded, without repeats, leased to one reviewer at a time.

A queue is that of one tenant and one use case. Each method is one transaction that begins by writing, so that
two workers, or two reviewers, take turns: on SQLite by its write lock, on PostgreSQL by a lock of the queue
or of the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, func, or_, select, text, update

from services.feedback import Truth
from services.review_estimates import Sampled, judged
from services.reviews import ReviewItem
from services.state.database import Database
from services.state.review_tables import reviews, samples, tallies, votes
from services.state.upsert import inserting

_R = reviews.c


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What came of one item: `dropped` others (or itself) had to go; so many wait now."""

    repeated: bool
    dropped: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One review as a reviewer gets it: redacted, without what others said of it."""

    id: str
    use_case: str
    decision_id: str
    fields: str = field(repr=False)  # JSON
    output: str = field(repr=False)
    why: str
    route: str
    answered: str | None
    seen: int
    at: str
    lease_by: str | None
    lease_until: str | None


@dataclass(frozen=True, slots=True)
class Voted:
    """What came of a vote. `seconds`: from the first decision to the resolution; None while it waits."""

    resolved: bool
    corrected: bool = False
    seconds: float | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class SampledReview:
    """A decision of the random sample. `reviewed`, `correct`, `label`: its review, as `judged` takes them."""

    decision_id: str
    route: str
    rate: float
    answered: str | None
    reviewed: str | None
    correct: bool | None
    label: str | None

    def judged(self, said: str | None) -> bool | None:
        """Would this label have been right? None: the review does not tell."""
        return judged(said, self.reviewed, self.correct, self.label)


class ReviewStore:
    """Every method raises `StateUnavailable` while the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, item: ReviewItem, max_queue: int) -> Enqueued:
        """Keep it, or count it if its request is there already. What is beyond `max_queue` is dropped: the
        least valuable, never one that a reviewer holds."""
        with self._database.writing() as connection:
            _one_at_a_time(connection, item)
            repeated = self._put(connection, item)
            if item.wanted.sampled:
                values = {
                    "decision_id": item.decision_id, "review_id": item.wanted.id, "tenant": item.tenant,
                    "use_case": item.use_case, "route": item.route, "answered": item.answered,
                    "rate": item.wanted.rate, "at": item.at,
                }  # fmt: skip
                connection.execute(inserting(connection, samples).values(values).on_conflict_do_nothing())
            _count(connection, item.tenant, item.use_case, "repeated" if repeated else "enqueued")
            here = _queue(item.tenant, item.use_case)
            self._drop(connection, here & (_R.expires_at <= item.at), item, "expired")
            excess = _length(connection, here) - max_queue
            dropped = 0
            if excess > 0:
                held = case((_R.lease_until > item.at, 1), else_=0)
                order = (held, _R.rank, _R.seen, _R.at.desc(), _R.id)
                least = select(_R.id).where(here & (held == 0)).order_by(*order).limit(excess)
                ids = [row.id for row in connection.execute(least)]
                dropped = self._drop(connection, _R.id.in_(ids), item, "dropped")
            return Enqueued(repeated, dropped, _length(connection, here))

    def waiting(self, tenant: str, source: str, use_case: str | None, now: str, limit: int) -> list[Waiting]:
        """What this reviewer could look at, the most valuable first."""
        with self._database.reading() as connection:
            return _listed(connection, _open_to(tenant, source, use_case, now), limit)

    def take(
        self, tenant: str, source: str, use_case: str | None, review_id: str | None, now: str, until: str
    ) -> Waiting | None:
        """Lease one review, or the most valuable one that is free; None: there is none to be had."""
        free = _open_to(tenant, source, use_case, now) & _free(source, now)
        if review_id is not None:
            free &= _R.id == review_id
        with self._database.writing() as connection:
            for one in _listed(connection, free, 20):
                lease = update(reviews).where(free & (_R.id == one.id))
                if connection.execute(lease.values(lease_by=source, lease_until=until)).rowcount == 1:
                    return _listed(connection, _R.id == one.id, 1)[0]
        return None

    def release(self, tenant: str, source: str, review_id: str) -> bool:
        """Give a lease back. False: this reviewer does not hold it."""
        mine = (_R.id == review_id) & (_R.tenant == tenant) & (_R.lease_by == source)
        change = update(reviews).where(mine & _R.resolved_at.is_(None))
        with self._database.writing() as connection:
            return connection.execute(change.values(lease_by=None, lease_until=None)).rowcount == 1

    def find(self, tenant: str, review_id: str, now: str) -> Waiting | None:
        """One review that waits, whoever holds it."""
        unexpired = or_(_R.expires_at.is_(None), _R.expires_at > now)
        here = (_R.id == review_id) & (_R.tenant == tenant) & _R.resolved_at.is_(None) & unexpired
        with self._database.reading() as connection:
            return next(iter(_listed(connection, here, 1)), None)

    def vote(self, tenant: str, source: str, review_id: str, truth: Truth, now: str) -> Voted | None:
        """One reviewer's word; resolved once as many as the use case asks for said the same. None: it is
        resolved, held by another one, or has this reviewer's word already."""
        mine = (_R.id == review_id) & _open_to(tenant, source, None, now) & _free(source, now)
        with self._database.writing() as connection:
            locked = update(reviews).where(mine).values(lease_by=None, lease_until=None)
            columns = (_R.use_case, _R.agreement, _R.at)
            row = connection.execute(locked.returning(*columns)).first()
            if row is None:
                return None
            vote = {"review_id": review_id, "source": source, "correct": truth.correct, "label": truth.label}
            connection.execute(inserting(connection, votes).values(**vote, at=now))
            same = (votes.c.review_id == review_id) & (votes.c.correct == truth.correct)
            same &= votes.c.label.is_(None) if truth.label is None else votes.c.label == truth.label
            agreed = connection.execute(select(func.count()).select_from(votes).where(same)).scalar_one()
            queue = _queue(tenant, row.use_case)
            if agreed < row.agreement:
                return Voted(False, waiting=_length(connection, queue))
            # The journal has the contents: what is labelled need not lie here too.
            done = {
                "correct": truth.correct,
                "label": truth.label,
                "resolved_at": now,
                "fields": "",
                "output": "",
            }
            connection.execute(update(reviews).where(_R.id == review_id).values(done))
            _count(connection, tenant, row.use_case, "resolved")
            if not truth.correct:
                _count(connection, tenant, row.use_case, "corrected")
            seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(row.at)).total_seconds()
            return Voted(True, not truth.correct, max(0.0, seconds), _length(connection, queue))

    def sampled(self, use_case: str, since: str, tenant: str | None = None) -> list[Sampled]:
        """The random sample since then, with what its reviews said."""
        return [
            Sampled(one.route, one.rate, one.judged(one.answered))
            for one in self.sampled_reviews(use_case, since, tenant)
        ]

    def sampled_reviews(self, use_case: str, since: str, tenant: str | None = None) -> list[SampledReview]:
        """The same, each with its decision's id and the words of the review themselves."""
        s = samples.c
        here = (s.use_case == use_case) & (s.at > since)
        if tenant is not None:
            here &= s.tenant == tenant
        reviewed = (_R.answered.label("reviewed"), _R.correct, _R.label)
        columns = (s.decision_id, s.route, s.rate, s.answered, *reviewed)
        both = samples.outerjoin(reviews, (s.review_id == _R.id) & _R.resolved_at.is_not(None))
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).select_from(both).where(here))
            return [SampledReview(*row) for row in rows]

    def tallies(self, use_case: str, tenant: str | None = None) -> dict[str, int]:
        """What was counted of a use case's queues, and how many wait."""
        t = tallies.c
        here = (t.use_case == use_case) & (True if tenant is None else t.tenant == tenant)
        queue = (_R.use_case == use_case) & _R.resolved_at.is_(None)
        if tenant is not None:
            queue &= _R.tenant == tenant
        with self._database.reading() as connection:
            rows = connection.execute(select(t.what, func.sum(t.n)).where(here).group_by(t.what))
            return {**{what: int(n) for what, n in rows}, "waiting": _length(connection, queue)}

    def _put(self, connection: Connection, item: ReviewItem) -> bool:
        row = {
            "id": item.wanted.id, "tenant": item.tenant, "use_case": item.use_case,
            "decision_id": item.decision_id, "fields": item.fields, "output": item.output,
            "why": ",".join(item.wanted.why), "route": item.route, "answered": item.answered,
            "rank": item.wanted.rank, "seen": 1, "agreement": item.agreement, "at": item.at,
            "expires_at": item.expires_at,
        }  # fmt: skip
        better = case((_R.rank < item.wanted.rank, item.wanted.rank), else_=_R.rank)
        change = {"seen": _R.seen + 1, "rank": better}
        put = inserting(connection, reviews).values(row)
        seen = put.on_conflict_do_update(index_elements=[_R.id], set_=change).returning(_R.seen)
        return int(connection.execute(seen).scalar_one()) > 1

    def _drop(self, connection: Connection, which: ColumnElement[bool], item: ReviewItem, why: str) -> int:
        ids: Sequence[str] = [row.id for row in connection.execute(select(_R.id).where(which))]
        if ids:
            connection.execute(delete(votes).where(votes.c.review_id.in_(ids)))
            connection.execute(delete(reviews).where(_R.id.in_(ids)))
            _count(connection, item.tenant, item.use_case, why, len(ids))
        return len(ids)


def _queue(tenant: str, use_case: str) -> ColumnElement[bool]:
    return and_(_R.tenant == tenant, _R.use_case == use_case, _R.resolved_at.is_(None))


def _open_to(tenant: str, source: str, use_case: str | None, now: str) -> ColumnElement[bool]:
    voted = exists().where((votes.c.review_id == _R.id) & (votes.c.source == source))
    open_ = and_(_R.tenant == tenant, _R.resolved_at.is_(None), ~voted)
    open_ &= or_(_R.expires_at.is_(None), _R.expires_at > now)
    return open_ if use_case is None else open_ & (_R.use_case == use_case)


def _free(source: str, now: str) -> ColumnElement[bool]:
    return or_(_R.lease_by.is_(None), _R.lease_until <= now, _R.lease_by == source)


def _listed(connection: Connection, where: ColumnElement[bool], limit: int) -> list[Waiting]:
    columns = [_R[name] for name in Waiting.__slots__]
    order = (_R.rank.desc(), _R.seen.desc(), _R.at, _R.id)
    rows = connection.execute(select(*columns).where(where).order_by(*order).limit(limit))
    return [Waiting(*row) for row in rows]


def _length(connection: Connection, queue: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(reviews).where(queue)).scalar_one())


def _count(connection: Connection, tenant: str, use_case: str, what: str, n: int = 1) -> None:
    row = {"tenant": tenant, "use_case": use_case, "what": what, "n": n}
    t = tallies.c
    put = inserting(connection, tallies).values(row)
    key = [t.tenant, t.use_case, t.what]
    connection.execute(put.on_conflict_do_update(index_elements=key, set_={"n": t.n + n}))


def _one_at_a_time(connection: Connection, item: ReviewItem) -> None:
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(hashtext(:queue))")
        connection.execute(lock, {"queue": f"reviews/{item.tenant}/{item.use_case}"})
