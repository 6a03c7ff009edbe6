"""The only place that builds what lives as long as the process. Tests hand in fakes for the edges.

Clients that not every deployment has are imported where they are built: the openai SDK alone takes 1.5 s.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from feature_checks.usecase import UseCase
from services.api.calls import CallReader
from services.api.limits import Gate
from services.breaker import BreakerSettings
from services.catalogue import Catalogue
from services.detection import detector_of
from services.door import open_door
from services.errors import StateUnavailable
from services.evidence.retention import rule_of
from services.evidence.running import build_evidence, journal_stamp
from services.guards import Counters, Guards, open_counters
from services.hash_key import load_hash_key
from services.histories import open_histories
from services.journal import Journal
from services.kept_answers import AnswerShelf, Keeping, KeptAnswers
from services.model_shelf import Placed
from services.online_features import HistoryStore
from services.pipeline import Observer, Pipeline
from services.policy import AccessPolicy
from services.prepared import Policy
from services.privacy.detect import Detector
from services.receipts import Receipts
from services.review_desk import ReviewDesk, open_reviews
from services.rollouts.counts import RolloutCounts
from services.rollouts.running import build_rollouts
from services.rollouts.shadow import Shadow
from services.rollouts.sides import Versions
from services.runtime import Readiness, Runtime
from services.settings import ServiceSettings
from services.state.api_keys import ApiKeys
from services.state.database import Database
from services.state.feedback import FeedbackStore
from services.state.kept_database import DatabaseAnswers
from services.state.repeats import Repeats
from services.state.reviews import ReviewStore
from services.targets.chat import Chat
from services.telemetry import Telemetry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edges:
    """What reaches out of the process. Each has a real twin that `bootstrap` builds when it is None."""

    placed: Placed | None = None
    endpoints: Mapping[str, Chat] | None = None
    policy: Callable[[UseCase], Policy] | None = None
    detector: Detector | None = None
    counters: Counters | None = None
    kept_answers: KeptAnswers | None = None
    clock: Callable[[], float] = time.monotonic  # of breakers and budgets
    histories: HistoryStore | None = None
    event_clock: Callable[[], float] | None = time.time  # None: events are not of now, as in a replay
    observers: tuple[Observer, ...] = ()
    reviewing: bool = True  # False: nobody shall review what is asked here, such as an evaluation
    dividing: bool = True  # False: no rollout divides what is asked here
    versions: Versions | None = None  # of local models, for rollouts


def bootstrap(settings: ServiceSettings, edges: Edges | None = None) -> Runtime:
    """Build everything from settings. Raises `ConfigError` or `SigningUnavailable`; connects to nothing."""
    edges = edges or Edges()
    closing = AsyncExitStack()
    hash_key = load_hash_key(settings.keys_dir)
    receipts = Receipts(settings.keys_dir)
    telemetry = Telemetry()
    database = Database(settings.state_db)
    closing.callback(database.close)
    api_keys = ApiKeys(database)
    reviews_db = open_reviews(settings)
    closing.callback(reviews_db.close)
    desk = ReviewDesk(ReviewStore(reviews_db), hash_key, telemetry, settings.retention_days)
    closing.push_async_callback(desk.close)
    reviewing = (desk.recorded,) if edges.reviewing else ()
    journal = Journal(
        settings.journal_dir,
        sync=settings.journal_sync,
        sync_s=settings.journal_sync_s,
        stamp=journal_stamp(settings),
    )
    evidence = build_evidence(settings, journal, telemetry.shipping, telemetry.checkpoints)
    closing.callback(evidence.close)
    closing.callback(journal.close)  # before the last checkpoint
    detector = edges.detector or detector_of(settings)
    shelf = AnswerShelf(edges.kept_answers or _kept_answers(settings, database, closing))
    closing.push_async_callback(shelf.close)
    catalogue, guards = _catalogue(settings, edges, detector, telemetry, shelf, closing)
    counts = RolloutCounts()
    shadow = Shadow(counts, telemetry, desk.disagreed)
    pipeline = Pipeline(
        catalogue.current,
        detector=detector,
        journal=journal,
        receipts=receipts,
        hash_key=hash_key,
        observers=(
            telemetry.recorded,
            shelf.recorded,
            counts.recorded,
            shadow.recorded,
            *reviewing,
            *edges.observers,
        ),
    )
    rollouts = build_rollouts(
        settings, pipeline=pipeline, counts=counts, shadow=shadow, guards=guards,
        candidates=catalogue, serving=catalogue.local, served=lambda: catalogue.current,
        versions=edges.versions,
    )  # fmt: skip
    closing.push_async_callback(rollouts.close)
    calls = CallReader(settings.request_timeout_s)

    def serve() -> None:
        usecases = {name: one.usecase for name, one in catalogue.current.items()}
        pipeline.serve(catalogue.current)
        calls.serve(usecases)
        desk.serve(usecases)
        shelf.serve(
            {
                name: Keeping(one.stale.max_age_s, rule_of(one.retention, settings.retention_days))
                for name, one in usecases.items()
                if one.stale
            }
        )
        telemetry.serving({name: one.version for name, one in usecases.items()}, catalogue.refused)
        rollouts.apply()

    serve()
    ingress, knock = open_door(settings, api_keys, hash_key, closing)

    def readiness() -> Readiness:
        reasons = (f"journal: {journal.problem}",) if journal.problem else ()
        return Readiness(not reasons, reasons, catalogue.describe(), (*evidence.warnings, *rollouts.warnings))

    async def background() -> None:
        evidence.start()
        knock()
        await asyncio.to_thread(_warm_up, detector, api_keys)
        await guards.start()
        if edges.dividing:
            await rollouts.start()
        _follow(catalogue, serve, settings.model_poll_s, closing)

    return Runtime(
        settings=settings,
        pipeline=pipeline,
        calls=calls,
        ingress=ingress,
        gate=Gate(settings.max_concurrency, settings.max_queue, settings.queue_timeout_s),
        repeats=Repeats(database, settings.idempotency_ttl_s),
        telemetry=telemetry,
        hash_key=hash_key,
        journal=journal,
        feedback=FeedbackStore(reviews_db),
        reviews=desk,
        find_decision=evidence.finder.find,
        newest_decisions=evidence.newest if settings.shipping else None,
        budgets=guards.budgets,
        judged=counts.judged,
        keys_dir=settings.keys_dir,
        readiness=readiness,
        local_model=catalogue.local,
        background=background,
        _closing=closing,
    )


def _catalogue(
    settings: ServiceSettings,
    edges: Edges,
    detector: Detector,
    telemetry: Telemetry,
    shelf: AnswerShelf,
    closing: AsyncExitStack,
) -> tuple[Catalogue, Guards]:
    endpoints = edges.endpoints if edges.endpoints is not None else _endpoints(settings, closing)
    guards = Guards(
        edges.counters or open_counters(settings),
        endpoints,
        edges.clock,
        on_change=telemetry.breaker,
        on_settled=telemetry.settled,
        breaker=BreakerSettings(slow_call_s=settings.slow_call_s),
    )
    closing.push_async_callback(guards.close)
    catalogue = Catalogue(
        settings,
        detector=detector,
        policy=edges.policy or (lambda usecase: AccessPolicy.load(usecase, tags=detector.tags)),
        endpoints=endpoints,
        guards=guards,
        shelf=shelf,
        placed=edges.placed,
        closing=closing,
        histories=edges.histories or open_histories(settings, closing),
        event_clock=edges.event_clock,
    )
    return catalogue, guards


def _kept_answers(settings: ServiceSettings, database: Database, closing: AsyncExitStack) -> KeptAnswers:
    if settings.redis_url is None:
        return DatabaseAnswers(database)
    from services.state.kept_redis import RedisAnswers  # takes 0.8 s

    answers = RedisAnswers(settings.redis_url.get_secret_value())
    closing.push_async_callback(answers.close)
    return answers


def _endpoints(settings: ServiceSettings, closing: AsyncExitStack) -> dict[str, Chat]:
    if not settings.endpoints:
        return {}
    from services.targets.endpoint import ChatEndpoint

    endpoints: dict[str, Chat] = {}
    for name, configured in settings.endpoints.items():
        endpoint = ChatEndpoint(name, configured)
        closing.push_async_callback(endpoint.aclose)
        endpoints[name] = endpoint
    return endpoints


def _warm_up(detector: Detector, api_keys: ApiKeys) -> None:
    """What is slow at its first use, before the first request."""
    detector.scan("4 digits 1234, a@b.example, www.example.org, ::1")
    with suppress(StateUnavailable):  # then requests say so
        api_keys.find("0" * 12)


def _follow(catalogue: Catalogue, serve: Callable[[], None], every_s: float, closing: AsyncExitStack) -> None:
    """Start the task that takes up changed use cases and newly placed models."""

    async def follow() -> None:
        while True:
            await asyncio.sleep(every_s)
            before = catalogue.refused
            try:
                if await asyncio.to_thread(catalogue.look) or catalogue.refused != before:
                    serve()
            except Exception as error:  # noqa: BLE001  — what serves now goes on serving; the next look may work
                log.error("looking for changes failed: %s", type(error).__name__)

    task = asyncio.create_task(follow())

    async def stop() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    closing.push_async_callback(stop)
