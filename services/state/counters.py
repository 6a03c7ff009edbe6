"""What the workers of this service count together: money per day, and how endpoints behave.

Two interfaces, implemented by twins: `SqliteCounters` (the workers of one machine) and `RedisCounters`
(replicas). The store keeps the clock, so that workers whose clocks differ agree. Amounts are whole
nano-USD; times whole milliseconds since 1970 UTC; days are whole days since then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.errors import ServiceError

MS_PER_DAY = 86_400_000


class CountersDown(ServiceError):
    """The store cannot be asked just now. It stays inside: budgets refuse, breakers decide alone."""

    type = "counters_down"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the store remembers. A settlement that comes later than `reservation_s` after its
    reservation expired can no longer be told from a repeated one, and is not counted."""

    reservation_s: float = 3600.0
    days: int = 35


@dataclass(frozen=True, slots=True)
class Claim:
    """Which reservation: attempt `attempt` of request `request_id`. The four together are its id."""

    tenant: str
    use_case: str
    request_id: str
    attempt: str


@dataclass(frozen=True, slots=True)
class Use:
    """What a tenant's use case has spent, and holds reserved, on one UTC day."""

    day: int
    spent: int
    reserved: int

    @property
    def total(self) -> int:
        return self.spent + self.reserved


@dataclass(frozen=True, slots=True)
class ReserveReply:
    """`granted` (also when repeated: the first amount and expiry count), or which limit stands in the
    way (`day`, `request`), or that this id is used up (`settled`, `expired`). `request_used` is what
    the request's other attempts hold and have spent."""

    outcome: Literal["granted", "day", "request", "settled", "expired"]
    use: Use
    request_used: int = 0
    amount: int = 0
    expires_ms: int = 0


@dataclass(frozen=True, slots=True)
class SettleReply:
    """`settled`, or `repeated` (it was before; `actual` is what counted), or `too_late` (not counted).
    `late` means that the reservation had expired: its amount may have been given to others."""

    outcome: Literal["settled", "repeated", "too_late"]
    use: Use
    actual: int
    late: bool = False


class BudgetStore(Protocol):
    """Atomic reservations against a day's limit and a request's. Raises `CountersDown`."""

    async def reserve(
        self, claim: Claim, amount: int, ttl_ms: int, day_limit: int, request_limit: int
    ) -> ReserveReply:
        """Hold `amount` for `ttl_ms` if both limits allow it; zero is always allowed."""
        ...

    async def settle(self, claim: Claim, day: int, amount: int, expires_ms: int, actual: int) -> SettleReply:
        """Replace what was held by what was spent, once. `actual` may exceed `amount`."""
        ...

    async def use(self, tenant: str, use_case: str) -> Use:
        """Today's use, without what has expired."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Cell:
    """A shared text that only changes by compare-and-swap. Version 0: it was never written."""

    version: int = 0
    value: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Calls of one second (of the store's clock) under one epoch of a breaker."""

    epoch: int
    second: int
    calls: int
    errors: int
    slow: int


@dataclass(frozen=True, slots=True)
class SyncReply:
    """The store's clock, and for each endpoint its cell and everyone's buckets."""

    now_ms: int
    cells: Mapping[str, Cell] = field(default_factory=dict)
    buckets: Mapping[str, tuple[Bucket, ...]] = field(default_factory=dict)


class BreakerStore(Protocol):
    """Shared cells and call counts. It knows no rule: `services.breaker` does. Raises `CountersDown`."""

    async def sync(
        self, endpoints: Sequence[str], pushed: Mapping[str, Sequence[Bucket]], keep_s: int
    ) -> SyncReply:
        """Add `pushed` to the shared buckets and read all of `endpoints`; buckets older than `keep_s`
        seconds are dropped. Only reads when nothing is pushed."""
        ...

    async def swap(self, endpoint: str, expected_version: int, value: str) -> tuple[bool, Cell]:
        """Write `value` if the cell still has that version; whether it was, and the cell as it is now."""
        ...

    async def close(self) -> None: ...
