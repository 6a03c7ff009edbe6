"""Money: reserved before a call, settled after it, exact for all workers together.

`reserve` holds the most that a call can cost, `settle` replaces it by what it did cost. What is never
settled comes back when it expires. While the store cannot be asked nothing may be spent: the answer is
`Refused`, never an error.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.budget import BudgetLimits, Level, Refused, Reservation, Settled, nobody_counts, refusal
from services.prices import MAX_NANOS, usd_from_nanos
from services.state.counters import BudgetStore, Claim, CountersDown, SettleReply, Use

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`hold_off_s`: after the store failed, how long it is left alone. `level_s`: how old a known level
    may be; `levels` is how many are known at once. `unsettled`: settlements kept for a store that is
    down; `retry_s`: how often they are tried."""

    hold_off_s: float = 1.0
    level_s: float = 1.0
    levels: int = 10_000
    unsettled: int = 10_000
    retry_s: float = 1.0


class Budgets:
    """All budgets as one worker sees them; used from one event loop. Close it before its store."""

    def __init__(
        self,
        store: BudgetStore,
        settings: BudgetSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or BudgetSettings()
        self._store = store
        self._clock = clock
        self._down = False
        self._down_until = float("-inf")
        self._levels: dict[tuple[str, str], tuple[Use, float]] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._unsettled: dict[Claim, tuple[Reservation, int]] = {}
        self._retrying: asyncio.Task[None] | None = None
        self.lost = 0  # settlements given up: spending that no budget knows of, an alert

    async def reserve(
        self,
        tenant: str,
        use_case: str,
        amount: int | None,
        ttl_s: float,
        request_id: str,
        limits: BudgetLimits,
        attempt: str = "1",
    ) -> Reservation | Refused:
        """Hold `amount` nano-USD for `ttl_s`, longer than the call can take. None, for a call that cannot
        be priced, holds all that a request may cost. The same request id and attempt hold once."""
        asked = limits.request if amount is None else amount
        if asked < 0 or ttl_s <= 0:
            raise ValueError(f"expected 0 or more nano-USD for more than 0 s, got {asked} for {ttl_s} s")
        if self._clock() < self._down_until:
            return nobody_counts()
        claim = Claim(tenant, use_case, request_id, attempt)
        ttl_ms = max(1, round(ttl_s * 1000))
        try:
            reply = await self._store.reserve(
                claim, min(asked, MAX_NANOS), ttl_ms, limits.day, limits.request
            )
        except CountersDown as error:
            self._went_down(error)
            return nobody_counts()
        self._remember(tenant, use_case, reply.use)
        level = limits.level(reply.use)
        if reply.outcome == "granted":
            return Reservation(claim, reply.use.day, reply.amount, reply.expires_ms, level)
        return refusal(reply, asked, limits, level)

    async def settle(self, reservation: Reservation, actual: int | None) -> Settled:
        """Count what a call cost, once; None, for a cost that nobody knows, counts all that was held.

        While the store is down the settlement waits, and is tried again in the background.
        """
        spent = reservation.amount if actual is None else min(actual, MAX_NANOS)
        if spent < 0:
            raise ValueError(f"expected 0 or more nano-USD, got {spent}")
        # Noted first: a caller who is cancelled half-way leaves it to the background.
        self._note(reservation, spent)
        try:
            if self._clock() >= self._down_until:
                return await self._settle_one(reservation, spent)
        except CountersDown as error:
            self._went_down(error)
        finally:
            if reservation.claim in self._unsettled:
                self._retry_soon()
        return Settled(spent, counted=False, reason="waits until spending can be counted again")

    def level(self, tenant: str, use_case: str, limits: BudgetLimits) -> Level:
        """How far the day's money is used, for a plan: `soft` leans towards local answers, `hard` leaves
        cloud routes out. Costs microseconds: what is not known, or older than `level_s`, is asked for in
        the background, and is `open` until then; `reserve` is what decides."""
        if self._clock() < self._down_until:
            return "unknown"
        scope = (tenant, use_case)
        known = self._levels.get(scope)
        age_s = self._clock() - known[1] if known else float("inf")
        if age_s > self.settings.level_s and scope not in self._asking:
            self._asking[scope] = asyncio.get_running_loop().create_task(self._ask(tenant, use_case))
        # One that is much older may be yesterday's.
        return limits.level(known[0]) if known and age_s <= 10 * self.settings.level_s else "open"

    async def use(self, tenant: str, use_case: str) -> Use | None:
        """Today's use in nano-USD; None when nobody can count."""
        try:
            use = await self._store.use(tenant, use_case)
        except CountersDown as error:
            self._went_down(error)
            return None
        self._remember(tenant, use_case, use)
        return use

    @property
    def unsettled(self) -> int:
        """Settlements that wait for the store."""
        return len(self._unsettled)

    async def close(self) -> None:
        """Try a last time to settle what waits. What cannot be settled is lost, and said so."""
        tasks = [*self._asking.values(), *([self._retrying] if self._retrying else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._retrying = None
        await self._settle_waiting()
        if self._unsettled:
            self._lose(len(self._unsettled))
            self._unsettled.clear()

    async def _settle_one(self, reservation: Reservation, spent: int) -> Settled:
        claim = reservation.claim
        reply = await self._store.settle(
            claim, reservation.day, reservation.amount, reservation.expires_ms, spent
        )
        self._unsettled.pop(claim, None)
        self._remember(claim.tenant, claim.use_case, reply.use)
        return self._told(reservation, reply)

    def _told(self, reservation: Reservation, reply: SettleReply) -> Settled:
        if reply.outcome == "too_late":
            self._lose(1)
            return Settled(0, counted=False, late=True, reason="came too long after its reservation")
        over = max(0, reply.actual - reservation.amount)
        if over and reply.outcome == "settled":
            log.warning("a call cost %.6f USD more than was reserved for it", usd_from_nanos(over))
        return Settled(reply.actual, over=over, late=reply.late)

    def _note(self, reservation: Reservation, spent: int) -> None:
        self._unsettled.setdefault(reservation.claim, (reservation, spent))
        if len(self._unsettled) > self.settings.unsettled:
            del self._unsettled[next(iter(self._unsettled))]
            self._lose(1)

    def _retry_soon(self) -> None:
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.get_running_loop().create_task(self._retry())

    async def _retry(self) -> None:
        while self._unsettled:
            await asyncio.sleep(self.settings.retry_s)
            await self._settle_waiting()

    async def _settle_waiting(self) -> None:
        for reservation, spent in list(self._unsettled.values()):
            try:
                await self._settle_one(reservation, spent)
            except CountersDown as error:
                self._went_down(error)
                return

    async def _ask(self, tenant: str, use_case: str) -> None:
        try:
            await self.use(tenant, use_case)
        finally:
            del self._asking[tenant, use_case]

    def _remember(self, tenant: str, use_case: str, use: Use) -> None:
        """What a reply said of a day's use; the store works, then."""
        self._came_back()
        known = self._levels.pop((tenant, use_case), None)
        newest = known[0] if known and known[0].day > use.day else use
        self._levels[tenant, use_case] = (newest, self._clock())
        if len(self._levels) > self.settings.levels:
            del self._levels[next(iter(self._levels))]

    def _went_down(self, error: CountersDown) -> None:
        if not self._down:
            log.error("spending cannot be counted, so nothing may be spent for now: %s", error.message)
        self._down = True
        self._down_until = self._clock() + self.settings.hold_off_s

    def _came_back(self) -> None:
        if self._down:
            log.warning("spending is counted again")
        self._down = False
        self._down_until = float("-inf")

    def _lose(self, count: int) -> None:
        self.lost += count
        log.error("settlements lost: %d; the invoice will be higher than what was counted", count)
