"""A cloud target behind its endpoint's breaker and its use case's budget.

A call goes out with leave of both: the most that it can cost is held before it and replaced by what it did
cost after it, and how it went is told to the breaker. Whatever ends a call gives both back.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

from feature_checks.usecase import UseCase
from services.breaker import Blocked, Permit
from services.breakers import Breakers
from services.budget import BudgetLimits, Refused, Reservation, Settled
from services.budgets import Budgets
from services.errors import ConfigError, NotAsked, TargetFailed, TargetRefused
from services.prices import (
    MAX_NANOS,
    Prices,
    nanos_from_usd,
    prompt_tokens_upper_bound,
    usd_from_nanos,
    worst_case_usd,
)
from services.retry import pause_before_retry
from services.targets import Target, Written
from services.targets.answer_schema import AnswerSchema
from services.targets.cloud import CloudTarget
from services.targets.outgoing import outgoing
from services.targets.prompt import Prompt
from services.values import Answer, Envelope

Ask = Callable[[], Awaitable[Answer]]

_CALLERS_FAULT = frozenset({"http_400", "http_413", "http_422"})
"""Failures that say something about the one request and nothing about the endpoint."""

_SPARE_S = 10.0  # how much longer than a call may take its money is held


class GuardedTarget(Target):
    """`cloud`, asked only while its breaker and its budget allow. Raises `NotAsked` when they do not.

    `on_settled(endpoint, settled)` is told how the money of each priced call was counted. `candidate`: it is
    a rollout's, and stable may be asked after it. `quiet`: no failure of it closes its endpoint, which stable
    needs too, and asks in its place wherever it fails.
    """

    own_text = False

    def __init__(
        self,
        cloud: CloudTarget,
        endpoint: str,
        prices: Prices,
        prompt: Prompt,
        schema: AnswerSchema,
        usecase: UseCase,
        breakers: Breakers,
        budgets: Budgets,
        on_settled: Callable[[str, Settled], None] | None = None,
        *,
        candidate: bool = False,
        quiet: bool = False,
    ) -> None:
        assert usecase.cloud is not None
        self.name = cloud.name
        self.on_premises = cloud.on_premises
        self.region = cloud.region
        self.attested = cloud.attested
        self.versions = cloud.versions
        self._cloud = cloud
        self._endpoint = endpoint
        self._prices = prices
        self._prompt = prompt
        self._usecase = usecase
        self._fixed_tokens = prompt_tokens_upper_bound([prompt.system, json.dumps(schema.on_the_wire)])
        self._limits = limits_of(usecase)
        self._timeout_s = usecase.cloud.timeout_s
        self._retries = usecase.cloud.retries
        self._max_output_tokens = usecase.cloud.max_output_tokens
        self._breakers = breakers
        self._budgets = budgets
        self._on_settled = on_settled
        self._quiet = quiet
        # Stable may be asked after it for the same request, and is paid by itself.
        self._attempt = f"{self.name}@candidate" if candidate else self.name

    def closed(self, envelope: Envelope) -> str | None:
        """Why a plan should leave it out just now, and what would change that; None to try it.

        Costs microseconds and asks no store. What it does not know yet is left to `answer`.
        """
        state = self._breakers.state(self._endpoint)
        if state.phase == "open":
            return f"its breaker is open: {state.reason}"
        if self._prices.free:
            return None
        level = self._budgets.level(envelope.tenant, envelope.use_case, self._limits)
        if level == "hard":
            return (
                f"today's budget of ${usd_from_nanos(self._limits.day):.2f} for this use case and tenant is "
                "used up; it opens again at 00:00 UTC"
            )
        if level == "unknown":
            return (
                "spending cannot be counted just now, so nothing may be spent; it opens again once the "
                "counters can be reached"
            )
        return None

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer:
        return await self._answer(
            partial(self._cloud.answer, envelope, usecase, deadline), envelope, deadline
        )

    async def answer_written(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written
    ) -> Answer:
        """As `answer`; asked again only as long as not a word was told."""
        begun = False

        async def tell(text: str) -> None:
            nonlocal begun
            begun = True
            await written(text)

        ask = partial(self._cloud.answer_written, envelope, usecase, deadline, tell)
        return await self._answer(ask, envelope, deadline, lambda: begun)

    async def _answer(
        self, ask: Ask, envelope: Envelope, deadline: float, begun: Callable[[], bool] = lambda: False
    ) -> Answer:
        failed: TargetFailed | None = None
        for turn in range(self._retries + 1):
            try:
                return await self._once(ask, envelope, turn, begun)
            except NotAsked:
                if failed is None:
                    raise
                break  # what closed the way after a failure says less than the failure
            except TargetFailed as failure:
                failed = failure
            pause_s = pause_before_retry(failed, turn, deadline - time.monotonic(), random.random())  # noqa: S311  — jitter
            if turn == self._retries or pause_s is None or begun():
                break
            await asyncio.sleep(pause_s)
        assert failed is not None  # the loop runs at least once
        raise failed if turn == 0 else _asked_again(failed, turn)

    async def _once(self, ask: Ask, envelope: Envelope, turn: int, begun: Callable[[], bool]) -> Answer:
        permit = await self._breakers.permit(self._endpoint)
        if isinstance(permit, Blocked):
            raise NotAsked(f"its breaker lets no call through: {permit.reason}")
        try:
            reservation = None if self._prices.free else await self._reserve(envelope, turn)
        except BaseException:
            self._breakers.release(permit)
            raise
        return await self._ask(ask, permit, reservation, begun)

    async def _ask(
        self, ask: Ask, permit: Permit, reservation: Reservation | None, begun: Callable[[], bool]
    ) -> Answer:
        works: bool | None = (
            None if self._quiet else False
        )  # what this call says of the endpoint; None: nothing
        wait_s: float | None = None
        cost_usd: float | None = None  # None: nobody knows, so all that was held counts
        started = time.monotonic()
        try:
            answer = await ask()
            works, cost_usd = True, answer.cost_usd
            return answer
        except TargetRefused as refusal:
            works, cost_usd = True, refusal.cost_usd
            raise
        except TargetFailed as failure:
            cost_usd, wait_s = failure.cost_usd, failure.retry_after_s
            if failure.kind in _CALLERS_FAULT:
                works = True
            elif failure.kind == "timeout":
                works = self._cut_off(started)
            raise
        except asyncio.CancelledError:
            # At the deadline, or the caller has gone: who leaves an answer that comes says nothing of it.
            works = None if begun() else self._cut_off(started)
            raise
        finally:
            if wait_s is not None:
                self._breakers.told(permit, wait_s)
            elif works is None:
                self._breakers.release(permit)
            else:
                self._breakers.record(permit, works, time.monotonic() - started)
            if reservation is not None:
                await self._settle(reservation, cost_usd)

    def _cut_off(self, started: float) -> bool | None:
        """What no answer in time means: a failure, unless it was waited for less long than a good call may
        take. Else one caller in a hurry could close an endpoint for all."""
        if self._quiet:
            return None
        fair_s = min(self._timeout_s, self._breakers.settings.slow_call_s)
        return False if time.monotonic() - started >= 0.99 * fair_s else None

    async def _reserve(self, envelope: Envelope, turn: int) -> Reservation:
        tokens = self._fixed_tokens + prompt_tokens_upper_bound(
            [self._prompt.render(outgoing(envelope, self._usecase))]
        )
        tenant, purse, limits = self._purse(envelope)
        held = await self._budgets.reserve(
            tenant,
            purse,
            worst_case_usd(tokens, self._max_output_tokens, self._prices).nanos,
            self._timeout_s + _SPARE_S,
            envelope.id,
            limits,
            attempt=f"{self._attempt}#{turn}" if turn else self._attempt,
        )
        if isinstance(held, Refused):
            raise NotAsked(held.reason)
        return held

    def _purse(self, envelope: Envelope) -> tuple[str, str, BudgetLimits]:
        """Whose money it is, and how much there may be of it."""
        return envelope.tenant, envelope.use_case, self._limits.capped(envelope.max_cost_usd)

    async def _settle(self, reservation: Reservation, cost_usd: float | None) -> None:
        nanos = None if cost_usd is None else nanos_from_usd(min(cost_usd, _LARGEST_USD), up=True)
        settled = await self._budgets.settle(reservation, nanos)
        if self._on_settled:
            self._on_settled(self._endpoint, settled)


def _asked_again(failure: TargetFailed, turns: int) -> TargetFailed:
    message = f"{failure.message}; asked {turns + 1} times"
    return TargetFailed(failure.kind, message, cost_usd=failure.cost_usd, retry_after_s=failure.retry_after_s)


_LARGEST_USD = float(MAX_NANOS // 1_000_000_000)


def limits_of(usecase: UseCase) -> BudgetLimits:
    """The budget of a use case with a cloud section. Raises `ConfigError` for one that is no amount."""
    assert usecase.cloud is not None
    budget = usecase.cloud.budget
    try:
        return BudgetLimits.from_usd(budget.usd_per_day, budget.usd_per_request)
    except ValueError as error:
        raise ConfigError(f"{usecase.name}/usecase.yaml: cloud.budget: {error}") from error
