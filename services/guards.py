"""The breakers, budgets and raised thresholds of one worker, and the store it shares with its siblings."""

import copy
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from feature_checks.usecase import UseCase
from services.breaker import BreakerSettings, BreakerState
from services.breakers import Breakers
from services.budget import Settled
from services.budgets import Budgets
from services.raised import RaisedThresholds
from services.settings import ServiceSettings
from services.state.counters import BreakerStore, BudgetStore
from services.state.sqlite_counters import SqliteCounters
from services.targets.answer_schema import AnswerSchema
from services.targets.chat import Chat
from services.targets.cloud import CloudTarget
from services.targets.guarded import GuardedTarget, limits_of
from services.targets.local import never_short
from services.targets.prompt import Prompt
from services.targets.shadowed import ShadowTarget
from services.values import Envelope


class Counters(BudgetStore, BreakerStore, Protocol):
    """One store for both."""


def open_counters(settings: ServiceSettings) -> Counters:
    """Redis where the settings name one, else a file of this machine. Connects to nothing yet."""
    if settings.redis_url is None:
        return SqliteCounters(settings.counters_db)
    from services.state.redis_counters import RedisCounters  # takes 0.8 s

    return RedisCounters(settings.redis_url.get_secret_value())


class Guards:
    """Puts a breaker and a budget around each cloud target. `close` closes the store too."""

    def __init__(
        self,
        store: Counters,
        endpoints: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[str, BreakerState], None] | None = None,
        on_settled: Callable[[str, Settled], None] | None = None,
        breaker: BreakerSettings | None = None,
    ) -> None:
        self._store = store
        self._endpoints = tuple(endpoints)
        self._on_settled = on_settled
        self.breakers = Breakers(
            store, breaker or BreakerSettings(), clock, endpoints=self._endpoints, on_change=on_change
        )
        self.budgets = Budgets(store, clock=clock)
        self.thresholds = RaisedThresholds()
        self._candidate = False
        self._beside: frozenset[str] = frozenset()
        self._made_of: type[GuardedTarget] = GuardedTarget

    def of_candidate(self, beside: Iterable[str]) -> "Guards":
        """The same for a rollout's candidate, beside whose endpoints stable asks these. It shares everything,
        and is not to be closed."""
        same = copy.copy(self)
        same._candidate, same._beside = True, frozenset(beside)
        return same

    def of_shadow(self) -> "Guards":
        """The same for a candidate in shadow: money of its own, and no word to the breakers."""
        same = self.of_candidate(())
        same._made_of = ShadowTarget
        return same

    def short(self, usecase: UseCase) -> Callable[[Envelope], bool]:
        """Whether the day's budget of a request's tenant is nearly or wholly used up."""
        if self._made_of is ShadowTarget:
            return never_short
        limits = limits_of(usecase)

        def is_short(envelope: Envelope) -> bool:
            return self.budgets.level(envelope.tenant, envelope.use_case, limits) in ("soft", "hard")

        return is_short

    async def start(self) -> None:
        """Learn what siblings know, and keep on learning. Nothing to learn without an endpoint."""
        if self._endpoints:
            await self.breakers.start()

    async def close(self) -> None:
        """Tell siblings what they do not know yet, settle what waits, and only then close the store."""
        await self.breakers.close()
        await self.budgets.close()
        await self._store.close()

    def around(
        self, cloud: CloudTarget, endpoint: Chat, prompt: Prompt, schema: AnswerSchema, usecase: UseCase
    ) -> GuardedTarget:
        """`cloud`, guarded. Raises `ConfigError` for a budget that is no amount."""
        return self._made_of(
            cloud,
            endpoint=endpoint.name,
            prices=endpoint.prices,
            prompt=prompt,
            schema=schema,
            usecase=usecase,
            breakers=self.breakers,
            budgets=self.budgets,
            on_settled=self._on_settled,
            candidate=self._candidate,
            quiet=endpoint.name in self._beside,
        )
