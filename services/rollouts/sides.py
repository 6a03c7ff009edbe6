"""The sides of rollouts, made ready to serve in this worker: versions verified, loaded, built into targets.

What cannot be loaded is a problem that readiness names; its rollout then gives everybody stable here.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from feature_checks.config_candidate import PARTS
from feature_checks.usecase import UseCase
from registry.errors import RegistryError
from registry.loading import LoadedModel, is_revoked, placed_ref
from registry.rollout import Rollout
from registry.settings import RegistrySettings
from registry.versions import load_version
from services.errors import ConfigError
from services.prepared import PreparedUseCase
from services.rollouts.config_sides import ConfigSides, part_of
from services.rollouts.divider import Side, TargetSide
from services.targets import Target
from services.targets.local import InProcessModel, LocalModel

log = logging.getLogger(__name__)

LOCAL = "local"
CHAMPION = "champion"

Wanted = tuple[str, str]
"""A model's name and a version of it."""


class Versions(Protocol):
    """Where models come from by their version; tests hand in a fake."""

    def load(self, name: str, version: str) -> LoadedModel: ...

    def revoked(self, loaded: LoadedModel) -> bool: ...

    def champion(self, name: str) -> str | None: ...


class PlacedVersions:
    """The placed copies under `{home}/models`. `fetch` gets one that is not placed yet, or says why not."""

    def __init__(self, settings: RegistrySettings, fetch: Callable[[str, str], str | None]) -> None:
        self._settings = settings
        self._fetch = fetch

    def load(self, name: str, version: str) -> LoadedModel:
        try:
            return load_version(name, version, self._settings)
        except RegistryError:
            if self._fetch(name, version) is not None:
                raise
        return load_version(name, version, self._settings)

    def revoked(self, loaded: LoadedModel) -> bool:
        return is_revoked(loaded, self._settings)

    def champion(self, name: str) -> str | None:
        """The version that serves where no rollout says otherwise."""
        try:
            return str(placed_ref(name, CHAMPION, self._settings).version)
        except RegistryError:
            return None


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides of one rollout; None as in `divider.Exposed`."""

    candidate: Side | None
    stable: Side | None


class Sides:
    """Holds the loaded versions of this worker. `load` may take seconds: call it in a thread."""

    def __init__(
        self,
        versions: Versions,
        target: Callable[[UseCase, LocalModel], Target],
        configs: ConfigSides,
        serving: Callable[[str], LocalModel | None] = lambda usecase: None,
    ) -> None:
        """`serving(use case)` is the local model that answers where no rollout says otherwise."""
        self._serving = serving
        self._versions = versions
        self._target = target
        self._configs = configs
        self._models: dict[Wanted, InProcessModel] = {}
        self._turn = threading.Lock()
        self.problems: Mapping[str, str] = {}

    def close(self) -> None:
        """What was written for loading is taken away."""
        self._configs.close()

    @property
    def notes(self) -> Mapping[str, str]:
        """What serves otherwise than the folders say, by component."""
        return self._configs.notes

    def leads(self, rollout: Rollout, prepared: PreparedUseCase) -> str | None:
        """The version that serves where no rollout says otherwise: of the folder, or of the local model."""
        if part_of(rollout) in PARTS:
            return prepared.usecase.version
        local = prepared.usecase.local
        return self._versions.champion(local.model) if local else None

    def load(self, rollouts: Iterable[Rollout], served: Mapping[str, PreparedUseCase]) -> bool:
        """Load what is wanted and not there, drop what was revoked or is wanted no more. True when something
        came or went."""
        rollouts = list(rollouts)
        with self._turn:
            wanted = {one: r for r in rollouts for one in _wanted(r, served)}
            before = dict(self._models)
            problems = {}
            models = {}
            changed = self._configs.load(rollouts, served)
            for one, rollout in wanted.items():
                held = before.get(one)
                if held is not None and not self._versions.revoked(held.loaded):
                    models[one] = held
                    continue
                try:
                    models[one] = InProcessModel(self._loaded(rollout, one))
                    log.info("rollout of %s: version %s is loaded", rollout.component, one[1])
                except RegistryError as error:
                    problems[rollout.component] = str(error)
                    if self.problems.get(rollout.component) != str(error):
                        log.warning("rollout of %s: %s", rollout.component, error)
            self._models, self.problems = models, {**problems, **self._configs.problems}
            return (
                changed or models.keys() != before.keys() or any(models[k] is not before[k] for k in models)
            )

    def _loaded(self, rollout: Rollout, wanted: Wanted) -> LoadedModel:
        """The very copy that serves, where that is this version: a second one takes memory, and its weights
        would be cold in the processor's caches."""
        serving = self._serving(rollout.component.partition("/")[0])
        if isinstance(serving, InProcessModel):
            loaded = serving.loaded
            if (loaded.ref.name, str(loaded.ref.version)) == wanted and not self._versions.revoked(loaded):
                return loaded
        return self._versions.load(*wanted)

    def of(self, rollout: Rollout, prepared: PreparedUseCase) -> Pair:
        """What is ready of a rollout's sides. Never waits."""
        if part_of(rollout) in PARTS:
            return Pair(self._configs.of(rollout, prepared), None)
        wanted = _wanted(rollout, {prepared.usecase.name: prepared})
        models = [self._models.get(one) for one in wanted]
        if len(models) != 2 or None in models:
            return Pair(None, None)
        try:
            stable, candidate = (self._side(prepared, model) for model in models if model is not None)
        except ConfigError as error:
            log.warning("rollout of %s: %s", rollout.component, error)
            return Pair(None, None)
        return Pair(candidate, stable)

    def _side(self, prepared: PreparedUseCase, model: LocalModel) -> Side:
        return TargetSide(lambda usecase: {LOCAL: self._target(usecase, model)}, prepared.usecase)


def _wanted(rollout: Rollout, served: Mapping[str, PreparedUseCase]) -> list[Wanted]:
    """The models of both sides, stable first; none for a component that this worker does not serve so."""
    prepared = served.get(rollout.component.partition("/")[0])
    if part_of(rollout) != LOCAL or prepared is None or prepared.usecase.local is None:
        return []
    name = prepared.usecase.local.model
    return [(name, rollout.stable), (name, rollout.candidate)]
