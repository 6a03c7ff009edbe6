"""A cloud target that is asked in shadow: money of its own, and nothing that it meets is told to anybody.

Its breaker is looked at and never moved, so that a candidate that fails closes no endpoint for those who wait
for answers; and it never takes one of the trial calls by which an endpoint is found to be well again.
"""

from collections.abc import Callable
from typing import Any

from feature_checks.usecase import UseCase
from services.budget import BudgetLimits
from services.errors import NotAsked, TargetFailed, TargetRefused
from services.targets.cloud import CloudTarget
from services.targets.guarded import Ask, GuardedTarget
from services.values import Answer, Envelope

TENANT = "*"
"""No tenant has this name: the copies of all are paid from one purse."""


class ShadowTarget(GuardedTarget):
    """Asked once, and only while its endpoint works and its own money lasts."""

    def __init__(self, cloud: CloudTarget, *, usecase: UseCase, **given: Any) -> None:
        super().__init__(cloud, usecase=usecase, **given)
        assert usecase.cloud is not None
        budget = usecase.cloud.budget
        self._own = BudgetLimits.from_usd(budget.shadow, min(budget.shadow, budget.usd_per_request))

    def closed(self, envelope: Envelope) -> str | None:
        state = self._breakers.state(self._endpoint)
        return None if state.phase == "closed" else f"its breaker is {state.phase}: {state.reason}"

    async def _answer(
        self, ask: Ask, envelope: Envelope, deadline: float, begun: Callable[[], bool] = lambda: False
    ) -> Answer:
        if (reason := self.closed(envelope)) is not None:
            raise NotAsked(reason)
        held = None if self._prices.free else await self._reserve(envelope, 0)
        cost_usd: float | None = None
        try:
            answer = await ask()
            cost_usd = answer.cost_usd
            return answer
        except (TargetFailed, TargetRefused) as failure:
            cost_usd = failure.cost_usd
            raise
        finally:
            if held is not None:
                await self._settle(held, cost_usd)

    def _purse(self, envelope: Envelope) -> tuple[str, str, BudgetLimits]:
        return TENANT, f"{envelope.use_case}#shadow", self._own
