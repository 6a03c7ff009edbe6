"""The only place that builds what lives as long as the process. Tests hand in fakes for the edges.

Clients that not every deployment has are imported where they are built: the openai SDK alone takes 1.5 s.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase, list_usecases, load_usecase
from registry.settings import RegistrySettings
from services.api.calls import CallReader
from services.api.limits import Gate
from services.breaker import BreakerSettings
from services.detection import detector_of
from services.door import open_door
from services.errors import ConfigError, StateUnavailable
from services.evidence.running import build_evidence, journal_stamp
from services.guards import Counters, Guards, open_counters
from services.hash_key import load_hash_key
from services.journal import Journal
from services.model_shelf import ModelShelf, Placed, PlacedOnDisk
from services.pipeline import Observer, Pipeline
from services.policy import AccessPolicy
from services.prepare import prepare
from services.prepared import Policy, PreparedUseCase
from services.privacy.detect import Detector
from services.receipts import Receipts
from services.runtime import Readiness, Runtime
from services.settings import ServiceSettings
from services.state.api_keys import ApiKeys
from services.state.database import Database
from services.state.repeats import Repeats
from services.targets.chat import Chat
from services.targets.local import LocalModel
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
    clock: Callable[[], float] = time.monotonic  # of breakers and budgets
    observers: tuple[Observer, ...] = ()


def load_usecases(settings: ServiceSettings) -> dict[str, UseCase]:
    """Every use case that is served. Raises `ConfigError` that names file, key and what is allowed."""
    names = list_usecases(settings.usecases_dir)
    if not names:
        raise ConfigError(
            f"no use case found: expected {settings.usecases_dir.name}/<name>/usecase.yaml; "
            "set SWITCHYARD_USECASES to the folder that holds them, or make one with `switchyard usecase new`"
        )
    try:
        return {name: load_usecase(name, settings.usecases_dir) for name in names}
    except UseCaseError as error:
        raise ConfigError(str(error)) from error


def local_models(usecases: Iterable[UseCase]) -> list[str]:
    """Names of the registered models that these use cases answer with, on this machine."""
    return sorted({u.local.model for u in usecases if u.local is not None and "local" in u.plan})


def build_shelf(
    settings: ServiceSettings, usecases: Iterable[UseCase], placed: Placed | None = None
) -> ModelShelf:
    """The local models of these use cases, as placed on this machine; what cannot be loaded is a problem."""
    placed = placed or PlacedOnDisk(RegistrySettings(home=settings.home))
    shelf = ModelShelf(local_models(usecases), placed)
    shelf.refresh()
    return shelf


def bootstrap(settings: ServiceSettings, edges: Edges | None = None) -> Runtime:
    """Build everything from settings. Raises `ConfigError` or `SigningUnavailable`; connects to nothing."""
    edges = edges or Edges()
    closing = AsyncExitStack()
    usecases = load_usecases(settings)
    hash_key = load_hash_key(settings.keys_dir)
    receipts = Receipts(settings.keys_dir)
    telemetry = Telemetry()
    database = Database(settings.state_db)
    closing.callback(database.close)
    api_keys = ApiKeys(database)
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
    builder = _UseCases(settings, edges, usecases, detector, telemetry, closing)
    pipeline = Pipeline(
        builder.prepare_all(),
        detector=detector,
        journal=journal,
        receipts=receipts,
        hash_key=hash_key,
        observers=(telemetry.recorded, *edges.observers),
    )
    telemetry.serving({name: usecase.version for name, usecase in usecases.items()})
    ingress, knock = open_door(settings, api_keys, hash_key, closing)

    def readiness() -> Readiness:
        reasons = (f"journal: {journal.problem}",) if journal.problem else ()
        return Readiness(not reasons, reasons, builder.describe(pipeline.use_cases), evidence.warnings)

    begin = _background(api_keys, detector, knock, builder, pipeline, settings.model_poll_s, closing)

    async def background() -> None:
        evidence.start()
        await begin()

    return Runtime(
        settings=settings,
        pipeline=pipeline,
        calls=CallReader(usecases, settings.request_timeout_s),
        ingress=ingress,
        gate=Gate(settings.max_concurrency, settings.max_queue, settings.queue_timeout_s),
        repeats=Repeats(database, settings.idempotency_ttl_s),
        telemetry=telemetry,
        hash_key=hash_key,
        find_decision=evidence.finder.find,
        keys_dir=settings.keys_dir,
        readiness=readiness,
        local_model=lambda name: builder.local(usecases[name]),
        background=background,
        _closing=closing,
    )


class _UseCases:
    """Use cases made ready, with the models and endpoints that they share."""

    def __init__(
        self,
        settings: ServiceSettings,
        edges: Edges,
        usecases: Mapping[str, UseCase],
        detector: Detector,
        telemetry: Telemetry,
        closing: AsyncExitStack,
    ) -> None:
        self._usecases = usecases
        self._detector = detector
        self._policy = edges.policy or (lambda usecase: AccessPolicy.load(usecase, tags=detector.tags))
        self._endpoints = edges.endpoints if edges.endpoints is not None else _endpoints(settings, closing)
        self.guards = Guards(
            edges.counters or open_counters(settings),
            self._endpoints,
            edges.clock,
            on_change=telemetry.breaker,
            on_settled=telemetry.settled,
            breaker=BreakerSettings(slow_call_s=settings.slow_call_s),
        )
        closing.push_async_callback(self.guards.close)
        self._remote: Callable[[str], LocalModel] | None = None
        self.shelf: ModelShelf | None = None
        if settings.local_models_url is not None:
            self._remote = _remote_models(settings.local_models_url, settings.local_models_timeout_s, closing)
        else:
            self.shelf = build_shelf(settings, usecases.values(), edges.placed)

    def prepare_all(self) -> dict[str, PreparedUseCase]:
        return {name: self._prepare(usecase) for name, usecase in self._usecases.items()}

    def describe(self, prepared: Mapping[str, PreparedUseCase]) -> dict[str, dict[str, object]]:
        """What readiness tells of each use case: versions, and what is missing with the way to get it."""
        return {name: self._describe(one) for name, one in prepared.items()}

    def _prepare(self, usecase: UseCase) -> PreparedUseCase:
        prepared = prepare(
            usecase,
            policy=self._policy(usecase),
            detector=self._detector,
            local=self.local(usecase),
            endpoints=self._endpoints,
            guards=self.guards,
        )
        problem = self._problem(usecase)
        if problem is None or "local" not in prepared.missing:
            return prepared
        return replace(prepared, missing={**prepared.missing, "local": problem})

    def local(self, usecase: UseCase) -> LocalModel | None:
        if self._remote is not None:
            return self._remote(usecase.name)
        if self.shelf is None or usecase.local is None:
            return None
        return self.shelf.get(usecase.local.model)

    def _problem(self, usecase: UseCase) -> str | None:
        if self.shelf is None or usecase.local is None:
            return None
        return self.shelf.problems.get(usecase.local.model)

    def _describe(self, prepared: PreparedUseCase) -> dict[str, object]:
        usecase = prepared.usecase
        found: dict[str, object] = {"config": usecase.version, "missing": dict(prepared.missing)}
        if self.shelf is not None and usecase.local is not None:
            model = self.shelf.get(usecase.local.model)
            found["model"] = model.loaded.ref.digest if model else None
            if model is not None and (problem := self._problem(usecase)):
                found["model_not_newest"] = problem
        return found


def _remote_models(url: str, timeout_s: float, closing: AsyncExitStack) -> Callable[[str], LocalModel]:
    from services.local_client import RemoteModel, local_models_client

    client = local_models_client(url, timeout_s)
    closing.push_async_callback(client.aclose)
    return lambda usecase: RemoteModel(client, usecase)


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


def _background(
    api_keys: ApiKeys,
    detector: Detector,
    knock: Callable[[], None],
    builder: _UseCases,
    pipeline: Pipeline,
    every_s: float,
    closing: AsyncExitStack,
) -> Callable[[], Awaitable[None]]:
    """Warms up what is slow at its first use, and starts the task that takes up newly placed models; a
    use case that lacked one is then prepared anew."""

    def warm_up() -> None:
        detector.scan("4 digits 1234, a@b.example, www.example.org, ::1")
        with suppress(StateUnavailable):  # then requests say so
            api_keys.find("0" * 12)

    async def poll(shelf: ModelShelf) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                if await asyncio.to_thread(shelf.refresh):
                    pipeline.use_cases = await asyncio.to_thread(builder.prepare_all)
            except Exception as error:  # noqa: BLE001  — what serves now goes on serving; the next look may work
                log.error("looking for new models failed: %s", type(error).__name__)

    async def start() -> None:
        knock()
        await asyncio.to_thread(warm_up)
        await builder.guards.start()
        if builder.shelf is None:
            return
        task = asyncio.create_task(poll(builder.shelf))

        async def stop() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        closing.push_async_callback(stop)

    return start
