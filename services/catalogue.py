"""The use cases of this process, ready to serve, with the models, endpoints and guards that they share.

`look` follows the use-case folders and the placed models while requests run: what is valid is taken up,
what is not is refused and said so, and what served before goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase, list_usecases, load_usecase
from registry.settings import RegistrySettings
from services.errors import ConfigError
from services.guards import Guards
from services.kept_answers import AnswerShelf
from services.model_shelf import ModelShelf, Placed, PlacedOnDisk
from services.online_features import HistoryStore
from services.prepare import prepare
from services.prepared import Policy, PreparedUseCase
from services.privacy.detect import Detector
from services.settings import ServiceSettings
from services.targets.chat import Chat
from services.targets.local import LocalModel
from services.usecase_watch import UseCaseWatch

log = logging.getLogger(__name__)

REFUSED = "a change of its folder was refused; the log says why, and so does `switchyard usecase check {}`"


def load_usecases(settings: ServiceSettings) -> dict[str, UseCase]:
    """Every use case that is served. Raises `ConfigError` that names file, key and what is allowed."""
    names = list_usecases(settings.usecases_dir)
    if not names:
        raise ConfigError(
            f"no use case found: expected {settings.usecases_dir.name}/<name>/usecase.yaml; "
            "set SWITCHYARD_USECASES to the folder that holds them, or make one with `switchyard usecase new`"
        )
    return {name: _load(name, settings) for name in names}


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


class Catalogue:
    """Made once for each process. `current` is replaced as a whole by `look`, never changed."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        detector: Detector,
        policy: Callable[[UseCase], Policy],
        endpoints: Mapping[str, Chat],
        guards: Guards,
        shelf: AnswerShelf,
        placed: Placed | None,
        closing: AsyncExitStack,
        histories: HistoryStore | None = None,
        event_clock: Callable[[], float] | None = time.time,
    ) -> None:
        """Load and prepare all. Raises `ConfigError`."""
        self._settings = settings
        self._detector = detector
        self._policy = policy
        self._endpoints = endpoints
        self._guards = guards
        self._answers = shelf
        self._histories = histories
        self._event_clock = event_clock
        self._looking = threading.Lock()
        self._remote: Callable[[str], LocalModel] | None = None
        self._shelf: ModelShelf | None = None
        usecases = load_usecases(settings)
        if settings.local_models_url is not None:
            self._remote = _remote_models(settings.local_models_url, settings.local_models_timeout_s, closing)
        else:
            self._shelf = build_shelf(settings, usecases.values(), placed)
        self._watch = UseCaseWatch(settings.usecases_dir, self._build)

    @property
    def current(self) -> Mapping[str, PreparedUseCase]:
        return self._watch.current

    @property
    def refused(self) -> frozenset[str]:
        """Names of use cases whose newest content is not served, since it is not valid."""
        return frozenset(self._watch.refused)

    def look(self) -> bool:
        """Take up changed folders and newly placed models. True when `current` is another one now; may
        take seconds, so call it in a thread."""
        with self._looking:
            changed = self._watch.look()
            if self._shelf is None or not self._shelf.refresh():
                return changed
            prepared = {name: self._prepare(one.usecase) for name, one in self._watch.current.items()}
            self._watch.current = prepared
            return True

    def local(self, name: str) -> LocalModel | None:
        """The local model of a use case, or None when there is none now."""
        return self._local(self.current[name].usecase)

    def candidate(
        self, usecase: UseCase, beside: Iterable[str] = (), *, shadow: bool = False
    ) -> PreparedUseCase:
        """A rollout's candidate, prepared as others are, with guards of its own. Raises `ConfigError`."""
        guards = self._guards.of_shadow() if shadow else self._guards.of_candidate(beside)
        return self._prepare(usecase, guards)

    def describe(self) -> dict[str, dict[str, object]]:
        """What readiness tells of each use case: versions, and what is missing with the way to get it."""
        found = {name: self._describe(one) for name, one in self.current.items()}
        for name in self.refused:
            found.setdefault(name, {"config": None})["config_refused"] = REFUSED.format(name)
        return found

    def _build(self, name: str) -> PreparedUseCase:
        usecase = _load(name, self._settings)
        if self._shelf is not None and self._shelf.follow(local_models([usecase])):
            self._shelf.refresh()
        return self._prepare(usecase)

    def _prepare(self, usecase: UseCase, guards: Guards | None = None) -> PreparedUseCase:
        prepared = prepare(
            usecase,
            policy=self._policy(usecase),
            detector=self._detector,
            local=self._local(usecase),
            endpoints=self._endpoints,
            guards=guards or self._guards,
            shelf=self._answers,
            histories=self._histories,
            clock=self._event_clock,
        )
        problem = self._problem(usecase)
        if problem is None or "local" not in prepared.missing:
            return prepared
        return replace(prepared, missing={**prepared.missing, "local": problem})

    def _local(self, usecase: UseCase) -> LocalModel | None:
        if self._remote is not None:
            return self._remote(usecase.name)
        if self._shelf is None or usecase.local is None:
            return None
        return self._shelf.get(usecase.local.model)

    def _problem(self, usecase: UseCase) -> str | None:
        if self._shelf is None or usecase.local is None:
            return None
        return self._shelf.problems.get(usecase.local.model)

    def _describe(self, prepared: PreparedUseCase) -> dict[str, object]:
        usecase = prepared.usecase
        found: dict[str, object] = {"config": usecase.version, "missing": dict(prepared.missing)}
        if self._shelf is not None and usecase.local is not None:
            model = self._shelf.get(usecase.local.model)
            found["model"] = model.loaded.ref.digest if model else None
            if model is not None and (problem := self._problem(usecase)):
                found["model_not_newest"] = problem
        return found


def _load(name: str, settings: ServiceSettings) -> UseCase:
    try:
        return load_usecase(name, settings.usecases_dir)
    except UseCaseError as error:
        raise ConfigError(str(error)) from error


def _remote_models(url: str, timeout_s: float, closing: AsyncExitStack) -> Callable[[str], LocalModel]:
    from services.local_client import RemoteModel, local_models_client

    client = local_models_client(url, timeout_s)
    closing.push_async_callback(client.aclose)
    return lambda usecase: RemoteModel(client, usecase)
