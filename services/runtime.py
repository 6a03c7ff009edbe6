"""What one orchestrator process lives with: built by `bootstrap`, handed to the API, closed by `with`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from services.api.calls import CallReader
from services.api.limits import Gate
from services.budgets import Budgets
from services.ingress import Ingress
from services.journal import Journal
from services.journal_reader import Entry
from services.pipeline import Pipeline
from services.review_desk import ReviewDesk
from services.settings import ServiceSettings
from services.state.decisions import Row
from services.state.feedback import FeedbackStore
from services.state.repeats import Repeats
from services.targets.local import LocalModel
from services.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Readiness:
    """May traffic come, and what is it that callers get? `missing`: target -> why, and what to do.
    `warnings` do not keep traffic away: answers are right, something beside them is not."""

    ready: bool
    reasons: tuple[str, ...]
    use_cases: Mapping[str, Mapping[str, Any]]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that lives as long as the process. `background` starts what runs beside requests."""

    settings: ServiceSettings
    pipeline: Pipeline
    calls: CallReader
    ingress: Ingress
    gate: Gate
    repeats: Repeats
    telemetry: Telemetry
    hash_key: bytes = field(repr=False)
    journal: Journal
    feedback: FeedbackStore
    reviews: ReviewDesk
    find_decision: Callable[[str], Entry | None]
    newest_decisions: Callable[[int, str, str | None, str | None], Sequence[Row]] | None
    budgets: Budgets
    judged: Callable[[Mapping[str, Any], bool], None]  # a journalled decision, and whether it was right
    keys_dir: Path
    readiness: Callable[[], Readiness]
    local_model: Callable[[str], LocalModel | None]
    background: Callable[[], Awaitable[None]]
    _closing: AsyncExitStack = field(repr=False)

    async def __aenter__(self) -> "Runtime":
        await self.background()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop what runs in the background, make all records durable, close every connection."""
        await self._closing.aclose()
