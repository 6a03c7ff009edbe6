"""Brings decisions to the review queue, off the response path. Answers never wait for it, or fail with it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from feature_checks.review_spec import ReviewSpec
from feature_checks.usecase import UseCase
from services.errors import StateUnavailable
from services.keys import utc_now
from services.reviews import ReviewItem, Wanted, is_left_open, review_item, wanted, wanted_of_shadow
from services.settings import ServiceSettings
from services.state.database import REVIEWS, Database
from services.state.reviews import Enqueued, ReviewStore, Voted
from services.synthesis import Outcome
from services.values import Envelope

log = logging.getLogger(__name__)

WantedRule = Callable[[ReviewSpec, Envelope, Outcome, bytes, bool], Wanted | None]

_AT_ONCE = 256
"""More items than this wait for the store: the next ones are lost, and counted."""


def open_reviews(settings: ServiceSettings) -> Database:
    """The reviews database that the settings name. Connects to nothing yet."""
    url = settings.database_url
    return Database(settings.reviews_db if url is None else url.get_secret_value(), REVIEWS)


class ReviewMetrics(Protocol):
    """What is told of the queue; `services.telemetry.Telemetry` is one."""

    def review_enqueued(self, use_case: str, enqueued: Enqueued | None) -> None: ...

    def reviewed(self, use_case: str, voted: Voted) -> None: ...


class ReviewDesk:
    """`recorded` is a pipeline observer."""

    def __init__(
        self,
        store: ReviewStore,
        key: bytes,
        metrics: ReviewMetrics,
        keep_days: int | None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.metrics = metrics
        self._key = key
        self._keep_days = keep_days
        self._now = now
        self._usecases: Mapping[str, UseCase] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()  # SQLite lets one write at a time: queue here, where nothing times out

    def serve(self, usecases: Mapping[str, UseCase]) -> None:
        """From now on these use cases, with their `review:`."""
        self._usecases = dict(usecases)

    def recorded(self, envelope: Envelope, outcome: Outcome) -> None:
        usecase = self._usecases.get(envelope.use_case)
        self._want(usecase, envelope, outcome, wanted)

    def disagreed(self, envelope: Envelope, outcome: Outcome) -> None:
        """A candidate in shadow would have answered otherwise."""
        self._want(self._usecases.get(envelope.use_case), envelope, outcome, wanted_of_shadow)

    def _want(self, usecase: UseCase | None, envelope: Envelope, outcome: Outcome, rule: WantedRule) -> None:
        if usecase is None:
            return
        found = rule(usecase.review, envelope, outcome, self._key, is_left_open(usecase, outcome))
        if found is None:
            return
        if len(self._tasks) >= _AT_ONCE:
            self.metrics.review_enqueued(usecase.name, None)
            return
        item = review_item(found, usecase, envelope, outcome, self._now(), self._keep_days)
        task = asyncio.get_running_loop().create_task(self._put(item, usecase.review.max_queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait until what was begun is stored."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _put(self, item: ReviewItem, max_queue: int) -> None:
        try:
            async with self._turn:
                enqueued = await asyncio.to_thread(self.store.enqueue, item, max_queue)
        except StateUnavailable as error:
            log.warning("a decision did not reach the review queue: %s", error.message)
            self.metrics.review_enqueued(item.use_case, None)
            return
        self.metrics.review_enqueued(item.use_case, enqueued)
