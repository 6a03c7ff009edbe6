"""The breakers of one worker, shared with its siblings (SQLite) and with replicas (Redis).

A request never waits for the store to learn whether an endpoint is good: the answer is a local copy,
brought up to date in the background every `refresh_s`. Only a claim to probe an endpoint on trial asks
the store, so that all workers together send no more than `probes` calls. While the store is down every
worker decides alone; what happened meanwhile is replayed when it is back.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from uuid import uuid4

from services.breaker import (
    Blocked,
    Breaker,
    BreakerSettings,
    BreakerState,
    Event,
    Permit,
    step,
    verdict,
    view,
)
from services.breaker_window import Window
from services.state.counters import BreakerStore, Cell, CountersDown

log = logging.getLogger(__name__)

_SWAPS = 4  # tries against siblings who change the same breaker at the same moment
_REMEMBERED = 64  # events kept for replay; older ones belong to epochs that nobody is in any more
_SLOWEST_REFRESH_S = 5.0  # while the store is down
_PROMPT_S = 1.0
_PATIENCE_S = 5.0  # with a last sync, when this worker stops


class Breakers:
    """All breakers of this worker; used from one event loop. `clock` counts seconds and never goes back.

    `on_change(endpoint, state)` is told each change of phase that this worker makes or learns of.
    Without a store the breakers are this worker's own.
    """

    def __init__(
        self,
        store: BreakerStore | None,
        settings: BreakerSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        endpoints: Iterable[str] = (),
        wall: Callable[[], float] = time.time,
        luck: Callable[[], float] = random.random,
        on_change: Callable[[str, BreakerState], None] | None = None,
    ) -> None:
        self.settings = settings or BreakerSettings()
        self._store = store
        self._clock = clock
        self._luck = luck
        self._on_change = on_change
        self._offset_s = wall() - clock()  # until the store has told its own time
        self._worker = uuid4().hex[:12]
        self._alone = store is None
        self._all = {name: _One(name, self.settings) for name in endpoints}
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._wake = asyncio.Event()
        self._syncing = asyncio.Lock()

    async def start(self) -> None:
        """Learn what siblings know, and keep on learning. The first `permit` of an endpoint does it too."""
        if self._task is None and self._store is not None:
            self._task = asyncio.create_task(self._keep_up(), name="breakers")
        await self.sync()

    async def close(self) -> None:
        """Tell siblings what they do not know yet, and stop. The store is closed by who made it."""
        if self._task is not None:
            self._closing = True  # not cancelled: it syncs a last time
            self._wake.set()
            await asyncio.wait([self._task], timeout=_PATIENCE_S)
            self._task.cancel()
            self._task, self._closing = None, False

    def state(self, endpoint: str) -> BreakerState:
        """How the endpoint stands, for a plan. Costs microseconds."""
        return view(self._one(endpoint).breaker, self._now_ms(), self.settings)

    async def permit(self, endpoint: str) -> Permit | Blocked:
        """May this call go out? Waits for nothing unless the endpoint is on trial."""
        one = self._one(endpoint)
        if not one.asked and self._store is not None:
            await self.start()
        if one.closed:
            return Permit(endpoint, one.breaker.epoch)
        now = view(one.breaker, self._now_ms(), self.settings)
        if now.phase == "open":
            return Blocked(now.reason, now.retry_after_s)
        if await self._claim(one):
            return Permit(endpoint, one.breaker.epoch, probe=True)
        if one.closed:  # as the store just said
            return Permit(endpoint, one.breaker.epoch)
        return Blocked(f"{now.reason}; other calls are trying it", self.settings.refresh_s)

    def record(self, permit: Permit, ok: bool, latency_s: float) -> None:
        """How the call ended. A refusal by a model, or a caller's fault, is ok: the endpoint works."""
        slow = latency_s >= self.settings.slow_call_s
        one, now_ms = self._one(permit.endpoint), self._now_ms()
        if permit.probe:
            if ok and not slow:
                return self._happened(one, Event("good", now_ms, permit.epoch))
            how = f"a trial call took {latency_s:.1f} s" if ok else "a trial call failed"
            return self._happened(one, Event("bad", now_ms, permit.epoch, how, self._luck()))
        if one.closed and one.breaker.epoch == permit.epoch:
            one.window.add(now_ms, error=not ok, slow=slow)
            self._judge(one, now_ms)
        return None

    def told(self, permit: Permit, wait_s: float) -> None:
        """The endpoint answered that it wants to be asked again in `wait_s`, and not before."""
        why = f"it asked to be left alone for {wait_s:g} s"
        event = Event("told", self._now_ms(), permit.epoch, why, self._luck(), wait_s)
        self._happened(self._one(permit.endpoint), event)

    def release(self, permit: Permit) -> None:
        """The call was not made, or was given up without saying anything about the endpoint."""
        if permit.probe:
            self._happened(self._one(permit.endpoint), Event("unused", self._now_ms(), permit.epoch))

    async def sync(self) -> bool:
        """Push what happened here, learn what happened elsewhere. False when the store cannot be asked."""
        if self._store is None:
            return False
        async with self._syncing:
            names = list(self._all)
            taken = {name: self._all[name].window.take() for name in names}
            seen = {name: self._all[name].cell for name in names}
            for one in self._all.values():
                one.asked = True
            asked_at = self._clock()
            try:
                reply = await self._store.sync(names, taken, self.settings.window_s)
            except CountersDown as error:
                self._says_alone(error)
                return False
            self._says_together()
            if self._clock() - asked_at < _PROMPT_S:  # a reply that was long on its way tells no time
                self._offset_s = reply.now_ms / 1000 - self._clock()
            try:
                for name in names:
                    await self._learn(self._all[name], seen[name], reply.cells[name])
            except CountersDown as error:
                self._says_alone(error)
            for name in names:
                self._all[name].window.pushed(reply.buckets[name])
                self._judge(self._all[name], reply.now_ms)
            return not self._alone

    async def _learn(self, one: "_One", seen: Cell, cell: Cell) -> None:
        async with one.lock:
            if one.cell is seen:  # else a claim made since has seen a later one
                one.cell = cell
            if one.events:
                await self._agree(one)
            else:
                self._adopt(one, _decoded(one.cell))

    async def _claim(self, one: "_One") -> bool:
        async with one.lock:
            claim = Event("claim", self._now_ms())
            if not self._alone:
                try:
                    return await self._agree(one, claim)
                except CountersDown as error:
                    self._says_alone(error)
            before = one.breaker
            self._happened(one, claim)
            return one.breaker is not before

    async def _agree(self, one: "_One", claim: Event | None = None) -> bool:
        """Replay this worker's events on what the store has, and then `claim`; whether that was granted."""
        assert self._store is not None
        for _ in range(_SWAPS):
            replayed = len(one.events)
            shared = after = _decoded(one.cell)
            for event in one.events:
                after = step(after, event, self.settings)
            told = after
            if claim is not None:
                after = step(after, claim, self.settings)
            if after != shared:
                value = json.dumps({**asdict(after), "by": self._worker})
                done, one.cell = await self._store.swap(one.name, one.cell.version, value)
                # A swap whose answer was lost on the way is seen by its value.
                if not done and one.cell.value != value:
                    continue
            del one.events[:replayed]
            self._adopt(one, after, one.events)
            return claim is not None and after != told
        return False

    def _judge(self, one: "_One", now_ms: int) -> None:
        if not one.closed:
            return
        if (why := verdict(one.window.counts(now_ms), self.settings)) is not None:
            self._happened(one, Event("trip", now_ms, one.breaker.epoch, why, self._luck()))

    def _happened(self, one: "_One", event: Event) -> None:
        after = step(one.breaker, event, self.settings)
        if after == one.breaker:
            return
        if self._store is not None:
            one.events.append(event)
            del one.events[:-_REMEMBERED]
            self._wake.set()
        self._adopt(one, after)

    def _adopt(self, one: "_One", after: Breaker, events: Iterable[Event] = ()) -> None:
        """Make `after`, and then `events`, this worker's view."""
        for event in events:
            after = step(after, event, self.settings)
        before, one.breaker = one.breaker, after
        if after.epoch != before.epoch:
            one.window.begin(after.epoch)
        if after.phase != before.phase:
            log.warning("endpoint %s: %s -> %s: %s", one.name, before.phase, after.phase, after.reason)
            if self._on_change:
                self._on_change(one.name, view(after, self._now_ms(), self.settings))

    async def _keep_up(self) -> None:
        pause_s = self.settings.refresh_s
        while not self._closing:
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                heard = await self.sync()
            except Exception:
                log.exception("breakers were not brought up to date; this worker goes on with what it knows")
                heard = False
            pause_s = self.settings.refresh_s if heard else min(pause_s * 2, _SLOWEST_REFRESH_S)

    def _says_alone(self, error: CountersDown) -> None:
        if not self._alone:
            log.warning("breakers are not shared for now: %s", error.message)
        self._alone = True

    def _says_together(self) -> None:
        if self._alone:
            log.warning("breakers are shared again")
        self._alone = False

    def _one(self, endpoint: str) -> "_One":
        one = self._all.get(endpoint)
        if one is None:
            one = self._all[endpoint] = _One(endpoint, self.settings)
        return one

    def _now_ms(self) -> int:
        return round((self._clock() + self._offset_s) * 1000)


class _One:
    """One breaker as this worker sees it: what the store has (`cell`) and then `events`."""

    __slots__ = ("asked", "breaker", "cell", "events", "lock", "name", "window")

    def __init__(self, name: str, settings: BreakerSettings) -> None:
        self.name = name
        self.breaker = Breaker()
        self.cell = Cell()
        self.events: list[Event] = []
        self.window = Window(settings.window_s)
        self.lock = asyncio.Lock()
        self.asked = False  # has the store been asked about it at all?

    @property
    def closed(self) -> bool:
        return self.breaker.phase == "closed"


def _decoded(cell: Cell) -> Breaker:
    """What a cell says; a closed breaker when it says nothing that this version understands."""
    try:
        raw = json.loads(cell.value) if cell.value else {}
        raw.pop("by", None)
        breaker = Breaker(**raw)
        numbers = (breaker.epoch, breaker.until_ms, breaker.opens, breaker.granted, breaker.good)
        if breaker.phase not in ("closed", "open", "half_open") or any(type(n) is not int for n in numbers):
            raise ValueError("a cell with values of other types")
    except (ValueError, TypeError, AttributeError):
        return Breaker(epoch=cell.version)
    return breaker
