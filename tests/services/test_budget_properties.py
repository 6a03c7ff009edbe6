"""Whatever the order of reserving, settling and expiring: a store counts as a plain list would."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.state.counters import MS_PER_DAY, Claim
from tests.services.counting import KINDS, Counters, SetClock, opened

DAY_LIMIT, REQUEST_LIMIT = 100, 60


@dataclass
class Row:
    """One reservation as a plain list keeps it."""

    claim: Claim
    day: int
    amount: int
    expires_ms: int
    settled: int | None = None

    def counts(self, now_ms: int) -> int:
        if self.settled is not None:
            return self.settled
        return self.amount if now_ms < self.expires_ms else 0


class PlainList:
    """The slow and obvious way to count."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def find(self, claim: Claim) -> Row | None:
        return next((row for row in self.rows if row.claim == claim), None)

    def total(self, now_ms: int) -> int:
        return sum(row.counts(now_ms) for row in self.rows if row.day == now_ms // MS_PER_DAY)

    def reserve(self, claim: Claim, amount: int, ttl_ms: int, now_ms: int) -> str:
        known = self.find(claim)
        if known:
            if known.settled is not None:
                return "settled"
            return "granted" if now_ms < known.expires_ms else "expired"
        used = sum(row.counts(now_ms) for row in self.rows if row.claim.request_id == claim.request_id)
        if amount and used + amount > REQUEST_LIMIT:
            return "request"
        if amount and self.total(now_ms) + amount > DAY_LIMIT:
            return "day"
        self.rows.append(Row(claim, now_ms // MS_PER_DAY, amount, now_ms + ttl_ms))
        return "granted"

    def settle(self, row: Row, actual: int) -> str:
        if row.settled is not None:
            return "repeated"
        row.settled = actual
        return "settled"


operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("reserve"), st.integers(0, 3), st.integers(0, 2), st.integers(0, 70), st.integers(1, 3000)
        ),
        st.tuples(st.just("settle"), st.integers(0, 20), st.integers(0, 60), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 2500), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=40,
)


def run(kind: str, play: Callable[[Counters, SetClock], Awaitable[None]]) -> None:
    async def whole() -> None:
        clock = SetClock()
        clock.now_ms = 20_000 * MS_PER_DAY - 10_000  # ten seconds to midnight: some examples cross it
        with TemporaryDirectory() as folder:
            async with opened(kind, Path(folder), clock) as store:
                await play(store, clock)

    asyncio.run(whole())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(steps=operations)
def test_every_answer_and_every_sum_is_that_of_a_plain_list(
    kind: str, steps: list[tuple[str, int, int, int, int]]
) -> None:
    """Replies, and the day's use after each step; settling twice counts once."""

    async def play(store: Counters, clock: SetClock) -> None:
        plain = PlainList()
        for what, a, b, amount, ttl_ms in steps:
            if what == "wait":
                clock.now_ms += a
            elif what == "reserve":
                claim = Claim("t", "u", f"r{a}", f"a{b}")
                expected = plain.reserve(claim, amount, ttl_ms, clock.now_ms)
                reply = await store.reserve(claim, amount, ttl_ms, DAY_LIMIT, REQUEST_LIMIT)
                assert reply.outcome == expected
            elif plain.rows:
                row = plain.rows[a % len(plain.rows)]
                expected = plain.settle(row, b)
                done = await store.settle(row.claim, row.day, row.amount, row.expires_ms, b)
                assert (done.outcome, done.actual) == (expected, row.settled)
            use = await store.use("t", "u")
            assert use.total == plain.total(clock.now_ms)
            assert use.reserved >= 0

    run(kind, play)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(steps=operations)
def test_calls_that_keep_to_what_they_reserved_never_pass_the_limit(
    kind: str, steps: list[tuple[str, int, int, int, int]]
) -> None:
    """In time and within the amount: then no interleaving spends more than the day's or a request's limit."""

    async def play(store: Counters, clock: SetClock) -> None:
        held: list[Row] = []
        spent: dict[int, int] = {}
        by_request: dict[str, int] = {}
        for number, (what, a, b, amount, ttl_ms) in enumerate(steps):
            if what == "wait":
                clock.now_ms += a
            elif what == "reserve":
                claim = Claim("t", "u", f"r{a}", str(number))
                reply = await store.reserve(claim, amount, ttl_ms, DAY_LIMIT, REQUEST_LIMIT)
                if reply.outcome == "granted":
                    held.append(Row(claim, reply.use.day, reply.amount, reply.expires_ms))
            elif held:
                row = held.pop(a % len(held))
                if clock.now_ms < row.expires_ms:
                    actual = min(b, row.amount)
                    await store.settle(row.claim, row.day, row.amount, row.expires_ms, actual)
                    spent[row.day] = spent.get(row.day, 0) + actual
                    request_id = row.claim.request_id
                    by_request[request_id] = by_request.get(request_id, 0) + actual
            use = await store.use("t", "u")
            assert use.total <= DAY_LIMIT
            assert use.spent == spent.get(use.day, 0)
        assert all(total <= DAY_LIMIT for total in spent.values())
        assert all(total <= REQUEST_LIMIT for total in by_request.values())

    run(kind, play)
