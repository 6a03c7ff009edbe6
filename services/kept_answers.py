"""Good answers of cloud models, kept for the day when nothing fresher answers (plan step `stale`).

An answer is found only for the very same redacted request of the same tenant, under the same version of the
use case: nothing is guessed to be alike. What is kept is redacted. It goes when it is too old, or when
retention lets its content be kept no longer, and at once when a model refuses the request.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

from services.errors import StateUnavailable
from services.evidence.retention import Rule
from services.synthesis import Outcome
from services.values import Envelope

log = logging.getLogger(__name__)

_AT_ONCE = 64
"""More answers than this wait for the store: the next ones are not kept. It is a convenience, no record."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A redacted answer, who gave it, and when (seconds since 1970 UTC)."""

    output: Mapping[str, object]
    route: str
    model: str | None
    at: float


class KeptAnswers(Protocol):
    """Where answers are kept; twins in `services.state`. Both raise `StateUnavailable`."""

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, value: str, keep_s: float) -> None: ...

    async def drop(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long answers of a use case are kept: `max_age_s`, or less where `rule` limits their tags."""

    max_age_s: float
    rule: Rule = field(default_factory=Rule)

    def seconds(self, tags: Collection[str]) -> float:
        limit = self.rule.limit(tags)
        return self.max_age_s if limit is None else min(self.max_age_s, limit[0] * 86_400.0)


class AnswerShelf:
    """Keeps and finds answers. `recorded` is a pipeline observer: off the response path."""

    def __init__(self, store: KeptAnswers, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._keeping: Mapping[str, Keeping] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, keeping: Mapping[str, Keeping]) -> None:
        """Use case -> how long its answers are kept; those of others are not."""
        self._keeping = dict(keeping)

    def age_s(self, kept: KeptAnswer) -> float:
        return max(0.0, self._clock() - kept.at)

    async def find(self, envelope: Envelope, version: str) -> KeptAnswer | None:
        """The newest good answer to this very request. Raises `StateUnavailable`."""
        text = await self._store.get(_key(envelope, version))
        if text is None:
            return None
        try:
            return KeptAnswer(**json.loads(text))
        except (ValueError, TypeError):
            log.error("a kept answer cannot be read; it is left out")
            return None

    def recorded(self, envelope: Envelope, outcome: Outcome) -> None:
        keeping = self._keeping.get(envelope.use_case)
        if keeping is None or len(self._tasks) >= _AT_ONCE:
            return
        if any(record.variant == "candidate" for record in outcome.variants):
            return  # what a candidate says is nobody's to have later, when it may have been rolled back
        route, output = outcome.route or "", outcome.output
        key = _key(envelope, outcome.versions["config"])
        keep_s = keeping.seconds(envelope.tags)
        if output is not None and route.startswith("cloud/") and keep_s > 0:
            kept = KeptAnswer(output, route, outcome.versions.get("model"), self._clock())
            work = self._store.put(key, json.dumps(asdict(kept)), keep_s)
        elif any(a.outcome == "refused" and a.target.startswith("cloud/") for a in outcome.attempts):
            work = self._store.drop(key)
        else:
            return
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except StateUnavailable as error:
        log.warning("an answer was not kept, or not dropped: %s", error.message)


def too_old(age_s: float, max_age_s: float) -> bool:
    """The store forgets in time; a clock or a lowered bound may still leave an older one."""
    return age_s > max_age_s


def in_words(seconds: float) -> str:
    """An age as people say it."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _key(envelope: Envelope, version: str) -> str:
    """The tenant is part of it: no tenant gets what another's request brought."""
    parts: Collection[str] = (envelope.tenant, envelope.use_case, version, envelope.digest)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
