"""What must hold before a configuration may be rolled out, and the signed copy that is made of it then."""

from pathlib import Path
from tempfile import TemporaryDirectory

from feature_checks.config_candidate import PARTS, beyond
from feature_checks.errors import UseCaseError
from feature_checks.folders import folder_version, shaping_contents, shaping_files
from feature_checks.usecase import UseCase, load_usecase
from registry.config_packages import MAX_BYTES, VerifiedConfig, open_config, seal_config
from registry.config_store import Configs
from registry.errors import ConfigRefused
from registry.rollout import State, check_start
from registry.rollout_errors import RolloutNotFound, RolloutRefused
from registry.rollout_guard import Guard, with_cost
from registry.rollout_store import Rollouts, RolloutSettings
from services.detection import FindsNothing, kinds_of
from services.errors import ConfigError
from services.policy import AccessPolicy
from services.prepare import prepare
from services.rollouts.config_sides import unpacked
from services.settings import load_settings

__all__ = ["PARTS", "config_sides", "write_candidate"]


def config_sides(
    kept: Rollouts,
    settings: RolloutSettings,
    component: str,
    stable: str | None,
    candidate: str | None,
    folder: Path | None,
    steps: tuple[float, ...],
    guard: Guard,
    *,
    by: str,
) -> tuple[tuple[str, str], Guard]:
    """(stable, candidate), checked, with a signed copy of the candidate kept; and the guard, with cost in it.

    Raises `RolloutRefused`, `ConfigRefused`, and `UseCaseError` of the team's own folder.
    """
    name, _, part = component.partition("/")
    if (candidate is None) == (folder is None):
        raise RolloutRefused("rollout not started: give --candidate-folder, or --candidate of a kept one")
    serves = load_usecase(name)
    if stable not in (None, serves.version):
        raise RolloutRefused(
            f"rollout of {component} not started: stable is what the folder holds, {serves.version}"
        )
    _nothing_in_the_way(kept, name, component, serves)
    configs = Configs(kept.database)
    with TemporaryDirectory(prefix="switchyard-config-") as scratch:
        sealed = (
            _sealed(name, folder, Path(scratch) / "folder", settings, by)
            if folder is not None
            else configs.get(name, str(candidate))
        )
        version = candidate or folder_version(Path(scratch) / "folder" / name)
        config = open_config(sealed, name, version, settings, "canary")
        comes = _checked(component, config, Path(scratch) / "copy")
        sides = (serves.version, comes.version)
        check_start(*sides, steps, dict.fromkeys(sides, ""), component)
        if problems := beyond("cloud" if part == "cloud" else "config", serves, comes):
            raise RolloutRefused(f"rollout of {component} not started: candidate: {'; '.join(problems)}")
    configs.keep(name, version, sealed)
    bound = max(u.cloud.budget.usd_per_request if u.cloud else 0.0 for u in (serves, comes))
    has_cost = any(metric.kind == "cost" for metric in guard.metrics)
    return sides, guard if has_cost else with_cost(guard, bound)


def write_candidate(
    kept: Rollouts, settings: RolloutSettings, component: str, to: Path, overwrite: bool
) -> str:
    """The candidate of the component's last rollout as a folder; its version. Raises `RolloutRefused`."""
    name, _, part = component.partition("/")
    if part not in PARTS:
        raise RolloutRefused("export: expected <usecase>/cloud or <usecase>/config; models are in MLflow")
    rollout = kept.latest(component)
    sealed = Configs(kept.database).get(name, rollout.candidate)
    config = open_config(sealed, name, rollout.candidate, settings, "canary")
    if to.exists() and not overwrite:
        raise RolloutRefused(f"export: {to} is there already; --overwrite replaces what it holds, but data/")
    to.mkdir(parents=True, exist_ok=True)
    for old in shaping_files(to):
        if old.relative_to(to).as_posix() not in config.files:
            old.unlink()
    for file, content in config.files.items():
        path = to / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return config.version


def _nothing_in_the_way(kept: Rollouts, name: str, component: str, serves: UseCase) -> None:
    """A configuration holds its cloud part: one of both at a time, none on top of one that still holds."""
    for part in PARTS:
        other = f"{name}/{part}"
        try:
            last = kept.latest(other)
        except RolloutNotFound:
            continue
        if not last.ended and other != component:
            raise RolloutRefused(
                f"rollout of {component} not started: {other} has one that lives, and both hold what cloud "
                "models are asked; abort or promote that first"
            )
        if last.state is State.PROMOTED and last.stable == serves.version:
            raise RolloutRefused(
                f"rollout of {component} not started: configuration {last.candidate} was promoted, and the "
                f"folder does not hold it yet; `switchyard rollout export {other} --to … --overwrite` first"
            )


def _sealed(name: str, folder: Path, scratch: Path, settings: RolloutSettings, by: str) -> str:
    """A signed copy of the folder as it was read once: what is checked and signed are the same bytes."""
    if not (folder / "usecase.yaml").is_file():
        raise RolloutRefused(f"candidate: expected a use-case folder; {folder}/usecase.yaml is missing")
    shaping = shaping_files(folder)
    if links := [file.name for file in shaping if file.is_symlink()]:
        raise RolloutRefused(f"candidate: {links[0]}: expected a file of its own, got a link")
    if (size := sum(file.stat().st_size for file in shaping)) > MAX_BYTES:  # before any of it is read
        raise RolloutRefused(f"candidate: expected at most {MAX_BYTES} bytes beside data/, got {size}")
    files = shaping_contents(folder)
    for relative, content in files.items():
        path = scratch / name / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return seal_config(name, folder_version(scratch / name), files, settings, by=by)


def _checked(component: str, config: VerifiedConfig, scratch: Path) -> UseCase:
    """The candidate, after all that a worker checks before it serves one."""
    detector = FindsNothing(kinds_of(load_settings()))
    try:
        usecase = unpacked(config, scratch)
        policy = AccessPolicy.load(usecase, tags=detector.tags)
        prepare(usecase, policy=policy, detector=detector, local=None, endpoints={})
    except (UseCaseError, ConfigError, ConfigRefused) as error:
        said = str(error).replace(f"{scratch}/", "")  # a path that nobody will find
        raise RolloutRefused(f"rollout of {component} not started: candidate: {said}") from None
    return usecase
