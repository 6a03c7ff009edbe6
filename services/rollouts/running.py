"""Puts the parts together that let rollouts divide one worker's requests."""

import secrets
from collections.abc import Callable, Mapping

from feature_checks.usecase import UseCase
from registry.config_store import Configs
from registry.rollout_store import Rollouts
from registry.settings import RegistrySettings
from services.guards import Guards
from services.model_sync import sync
from services.pipeline import Pipeline
from services.prepare import local_target
from services.prepared import PreparedUseCase
from services.rollouts.config_sides import ConfigSides, MakesCandidates
from services.rollouts.counts import RolloutCounts
from services.rollouts.cutoff import limit_of
from services.rollouts.divider import Divider
from services.rollouts.shadow import Shadow
from services.rollouts.sides import PlacedVersions, Sides, Versions
from services.rollouts.watch import RolloutWatch
from services.settings import ServiceSettings
from services.targets import Target
from services.targets.local import LocalModel


def build_rollouts(
    settings: ServiceSettings,
    *,
    pipeline: Pipeline,
    counts: RolloutCounts,
    shadow: Shadow,
    guards: Guards,
    candidates: MakesCandidates,
    serving: Callable[[str], LocalModel | None],
    served: Callable[[], Mapping[str, PreparedUseCase]],
    versions: Versions | None = None,
) -> RolloutWatch:
    """Connects to nothing until it is started."""
    registry = RegistrySettings(home=settings.home)

    def fetch(name: str, version: str) -> str | None:
        return sync([name], registry, settings.model_sync_timeout_s, version)

    def target(usecase: UseCase, model: LocalModel) -> Target:
        return local_target(usecase, model, guards)

    def serve(dividers: Mapping[str, Divider]) -> None:
        pipeline.dividers = dividers

    kept = Rollouts(settings.rollouts)
    configs = ConfigSides(Configs(kept.database).get, candidates, registry)
    return RolloutWatch(
        kept,
        Sides(versions or PlacedVersions(registry, fetch), target, configs, serving),
        served=served,
        serve=serve,
        failures=limit_of(settings.workers),
        poll_s=settings.rollout_poll_s,
        counts=counts,
        shadow=shadow,
        thresholds=guards.thresholds,
        worker=secrets.token_hex(8),
    )
