"""Candidates that are whole configurations, made ready in this worker out of signed copies.

What serves as stable is the team's folder. A rollout is about that very version: while the folder holds
another one, the folder serves, and readiness says so.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from feature_checks.config_candidate import PARTS, beyond
from feature_checks.errors import FeatureCheckError
from feature_checks.usecase import UseCase, load_usecase
from registry.config_packages import VerifiedConfig, open_config, why_config_barred
from registry.errors import ConfigRefused, RegistryError
from registry.rollout import Rollout, State
from registry.settings import RegistrySettings
from registry.trust import Stage
from services.errors import ConfigError
from services.policy import PolicyQuestion
from services.prepared import Policy, PreparedUseCase
from services.rollouts.divider import Exposed, TargetSide
from services.values import Verdict

log = logging.getLogger(__name__)

CLOUD = "cloud/"


class MakesCandidates(Protocol):
    """Prepares a candidate as this process serves others; `services.catalogue.Catalogue` is one."""

    def candidate(
        self, usecase: UseCase, beside: Iterable[str] = (), *, shadow: bool = False
    ) -> PreparedUseCase:
        """`beside`: the endpoints that stable asks."""
        ...


def part_of(rollout: Rollout) -> str:
    """What of a use case is rolled out."""
    return rollout.component.partition("/")[2]


class ConfigSide:
    """A side that is a use case of its own. `shadow` is the same with money and breakers of its own."""

    def __init__(self, prepared: PreparedUseCase, shadow: PreparedUseCase) -> None:
        self.prepared = prepared
        self.shadow = shadow

    def of(self, prepared: PreparedUseCase) -> PreparedUseCase:
        return self.prepared


@dataclass(frozen=True, slots=True)
class _Held:
    """One candidate as it is loaded: `base` is the served use case that it was prepared beside."""

    config: VerifiedConfig
    folder: "TemporaryDirectory[str]"
    usecase: UseCase
    base: PreparedUseCase
    side: ConfigSide


class ConfigSides:
    """`fetch(use case, version)` gets a sealed copy. `load` may take a second: call it in a thread."""

    def __init__(
        self, fetch: Callable[[str, str], str], make: MakesCandidates, settings: RegistrySettings
    ) -> None:
        self._fetch = fetch
        self._make = make
        self._settings = settings
        self._held: dict[str, _Held] = {}
        self.problems: Mapping[str, str] = {}
        self.notes: Mapping[str, str] = {}

    def load(self, rollouts: Sequence[Rollout], served: Mapping[str, PreparedUseCase]) -> bool:
        """Bring in what is wanted, prepare anew what its base outgrew, drop the rest. True for a change."""
        held: dict[str, _Held] = {}
        problems: dict[str, str] = {}
        for rollout in rollouts:
            prepared = served.get(rollout.component.partition("/")[0])
            if part_of(rollout) not in PARTS or prepared is None:
                continue
            try:
                if _applies(rollout, prepared):
                    held[rollout.id] = self._ready(rollout, prepared)
            except (RegistryError, FeatureCheckError, ConfigError) as error:
                problems[rollout.component] = str(error)
                if self.problems.get(rollout.component) != str(error):
                    log.warning("rollout of %s: %s", rollout.component, error)
        before, self._held, self.problems = self._held, held, problems
        self.notes = {
            one.component: f"configuration {one.candidate} was promoted and serves in place of the folder's "
            f"{one.stable}; `switchyard rollout export {one.component} --to … --overwrite` hands it over"
            for one in rollouts
            if one.id in held and one.state is State.PROMOTED
        }
        return held.keys() != before.keys() or any(held[k].side is not before[k].side for k in held)

    def of(self, rollout: Rollout, prepared: PreparedUseCase) -> ConfigSide | None:
        """The candidate, where it is ready for the configuration that is served. Never waits."""
        held = self._held.get(rollout.id)
        return held.side if held and held.base.usecase.version == prepared.usecase.version else None

    def close(self) -> None:
        """Take the private folders away."""
        for held in self._held.values():
            held.folder.cleanup()
        self._held = {}

    def _ready(self, rollout: Rollout, prepared: PreparedUseCase) -> _Held:
        held = self._held.get(rollout.id)
        if held is None or why_config_barred(held.config, self._settings) is not None:
            return self._brought(rollout, prepared)
        if held.base is prepared:
            return held
        return replace(held, base=prepared, side=self._side(rollout, prepared, held.usecase))

    def _brought(self, rollout: Rollout, prepared: PreparedUseCase) -> _Held:
        name, version = prepared.usecase.name, rollout.candidate
        stage: Stage = "champion" if rollout.state is State.PROMOTED else "canary"
        config = open_config(self._fetch(name, version), name, version, self._settings, stage)
        folder = TemporaryDirectory(prefix="switchyard-config-")  # 0700: nobody else writes what is loaded
        usecase = unpacked(config, Path(folder.name))
        if problems := beyond(
            "cloud" if part_of(rollout) == "cloud" else "config", prepared.usecase, usecase
        ):
            raise ConfigRefused(f"configuration {version} of '{name}': {'; '.join(problems)}")
        side = self._side(rollout, prepared, usecase)
        log.info("rollout of %s: configuration %s is loaded", rollout.component, version)
        return _Held(config, folder, usecase, prepared, side)

    def _side(self, rollout: Rollout, prepared: PreparedUseCase, usecase: UseCase) -> ConfigSide:
        made = self._make.candidate(usecase, [n.removeprefix(CLOUD) for n in prepared.targets])
        if missing := sorted(set(made.missing) - set(prepared.missing)):
            name, why = missing[0], made.missing[missing[0]]
            raise ConfigRefused(f"configuration {usecase.version} of '{usecase.name}': {name}: {why}")
        if part_of(rollout) == "cloud":  # all but cloud models is stable's, and no second copy of it
            same = {name: t for name, t in prepared.targets.items() if not name.startswith(CLOUD)}
            made = replace(made, targets={n: same.get(n, t) for n, t in made.targets.items()})
        shadow = self._make.candidate(usecase, shadow=True)
        return ConfigSide(made, replace(shadow, policy=_Both(prepared.policy, shadow.policy)))


class _Both:
    """Nothing leaves for a shadow but what the policy in force permits as well as the candidate's own."""

    def __init__(self, stable: Policy, candidate: Policy) -> None:
        self._policies = (stable, candidate)

    def verdict(self, question: PolicyQuestion) -> Verdict:
        first, second = (policy.verdict(question) for policy in self._policies)
        return second if first.allowed else first


def unpacked(config: VerifiedConfig, folder: Path) -> UseCase:
    """Write the verified files below `folder` and read them as the use case that they are.

    Raises `UseCaseError`, and `ConfigRefused` where they are not the version that was signed.
    """
    root = folder / config.use_case
    for name, content in config.files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    usecase = load_usecase(config.use_case, folder, with_data=False)
    if usecase.version != config.version:
        raise ConfigRefused(
            f"configuration {config.version} of '{config.use_case}': its files are version {usecase.version}"
        )
    return usecase


def _applies(rollout: Rollout, prepared: PreparedUseCase) -> bool:
    """Is it about what is served here? Raises `ConfigRefused` where the folder went another way meanwhile."""
    version = prepared.usecase.version
    if version == rollout.stable:
        return True
    if version != rollout.candidate and not rollout.ended:
        raise ConfigRefused(
            f"the folder holds configuration {version}, and the rollout is about {rollout.stable} and "
            f"{rollout.candidate}; the folder serves: abort the rollout, or put its stable version back"
        )
    return False


def fitted(exposed: tuple[Exposed, ...]) -> tuple[Exposed, ...]:
    """In the order in which they apply: configurations first, then models within the one that was drawn."""
    configs = [one for one in exposed if isinstance(one.candidate, ConfigSide)]
    models = [one for one in exposed if not isinstance(one.candidate, ConfigSide)]
    for one in configs:
        for model in models:
            for side in (model.candidate, model.stable):
                if isinstance(side, TargetSide) and isinstance(one.candidate, ConfigSide):
                    side.under(one.candidate.prepared.usecase)  # now, and not at somebody's request
    return (*configs, *models)
