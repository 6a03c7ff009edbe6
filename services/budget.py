"""A budget: limits per UTC day and per request, and what may come of asking for money. Pure values.

All amounts are whole nano-USD. `services.budgets` does the counting.
"""

from dataclasses import dataclass, replace
from typing import Literal

from services.prices import nanos_from_usd, usd_from_nanos
from services.state.counters import Claim, ReserveReply, Use

Level = Literal["open", "soft", "hard", "unknown"]


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What a tenant's use case may spend, in nano-USD. Above `soft_fraction` of the day's limit its level
    is `soft`: a plan should lean towards local answers."""

    day: int
    request: int
    soft_fraction: float = 0.8

    @classmethod
    def from_usd(
        cls, usd_per_day: float, usd_per_request: float, soft_fraction: float = 0.8
    ) -> "BudgetLimits":
        """Raises `ValueError` for what is no amount."""
        return cls(nanos_from_usd(usd_per_day), nanos_from_usd(usd_per_request), soft_fraction)

    def capped(self, max_cost_usd: float | None) -> "BudgetLimits":
        """The same, with a request's own wish (`context.max_cost_usd`) where that is lower."""
        if max_cost_usd is None or not max_cost_usd < usd_from_nanos(self.request):
            return self
        return replace(self, request=nanos_from_usd(max(max_cost_usd, 0.0)))

    def level(self, use: Use) -> Level:
        """Nothing left: `hard`."""
        if use.total >= self.day:
            return "hard"
        return "soft" if use.total >= self.soft_fraction * self.day else "open"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave to spend up to `amount` nano-USD until `expires_ms` (the store's clock)."""

    claim: Claim
    day: int
    amount: int
    expires_ms: int
    level: Level  # of the day, this reservation counted in


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing may be spent. `day`: the day's limit; `request`: this request's; `used_up`: the id was
    used before; `store`: nobody can count just now. `reason` says what would change it."""

    kind: Literal["day", "request", "used_up", "store"]
    reason: str
    level: Level


@dataclass(frozen=True, slots=True)
class Settled:
    """What was counted, in nano-USD. `over` is what exceeded the reservation; `late`: it had expired.
    Not `counted`: it waits for the store, or came too late (`reason`)."""

    actual: int
    counted: bool = True
    over: int = 0
    late: bool = False
    reason: str = ""


def refusal(reply: ReserveReply, asked: int, limits: BudgetLimits, level: Level) -> Refused:
    """What a store's `no` means to people."""
    if reply.outcome == "day":
        return Refused(
            "day",
            f"the day's budget: this may cost {_usd(asked)}, and of {_usd(limits.day)} USD"
            f" {_usd(reply.use.spent)} are spent and {_usd(reply.use.reserved)} reserved;"
            " it begins anew at midnight UTC",
            level,
        )
    if reply.outcome == "request":
        return Refused(
            "request",
            f"the request's budget: this may cost {_usd(asked)}, and of {_usd(limits.request)} USD"
            f" {_usd(reply.request_used)} are used by its other attempts;"
            f" with {_usd(asked + reply.request_used)} USD it would have been asked",
            level,
        )
    how = "was settled before" if reply.outcome == "settled" else "has expired"
    return Refused(
        "used_up", f"the reservation of this attempt {how}; an attempt needs an id of its own", level
    )


def nobody_counts() -> Refused:
    """The store cannot be asked: closed, since nobody knows what is left."""
    return Refused("store", "spending cannot be counted just now, so nothing may be spent", "unknown")


def _usd(nanos: int) -> str:
    return f"{usd_from_nanos(nanos):.6f}".rstrip("0").rstrip(".")
