"""Starts a rollout: what is asked is checked, both sides are put where workers find them, then it is kept."""

import json
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from registry.rollout_errors import RolloutRefused
from registry.settings import RegistrySettings

if TYPE_CHECKING:  # numpy and SQLAlchemy, which other commands need not wait for
    from registry.records import ModelRef, RegisteredVersion
    from registry.rollout import Mode, Record, Rollout
    from registry.rollout_guard import Guard
    from registry.rollout_store import Rollouts


def model_sides(
    component: str, stable: str | None, candidate: str, steps: tuple[float, ...]
) -> tuple[str, str]:
    """Both versions of a local model, checked, and placed on this machine before any worker asks for them.

    `stable` None is the champion. Raises `RolloutRefused` with all that is wrong, and what placing raises.
    """
    from registry.rollout import check_start

    versions = _versions(component)
    champion = next((v for v, registered in versions.items() if "champion" in registered.aliases), None)
    if (stable := stable or champion) is None:
        raise RolloutRefused(f"rollout of {component} not started: it has no champion; name --stable")
    contracts = dict.fromkeys(versions, "") | {
        version: _contract(versions[version]) for version in {stable, candidate} & versions.keys()
    }
    check_start(stable, candidate, steps, contracts, component)
    _place(versions[stable].ref, versions[candidate].ref)
    return stable, candidate


def begin(
    kept: "Rollouts",
    component: str,
    sides: tuple[str, str],
    *,
    steps: tuple[float, ...],
    mode: "Mode",
    guard: "Guard",
    by: str,
    reason: str,
) -> "tuple[Rollout, Record]":
    """Keep the rollout of checked `sides` (stable, candidate). Raises `RolloutRefused`."""
    from pydantic import ValidationError

    from registry.rollout import Rollout, State, started

    begun = {"state": State.CANARY, "step": 0} if mode == "canary" else {}
    try:
        rollout = Rollout(
            id=secrets.token_hex(16), component=component, stable=sides[0], candidate=sides[1], steps=steps,
            mode=mode, guard=guard, step_since_s=time.time(), **begun,
        )  # fmt: skip
    except ValidationError:
        raise RolloutRefused(
            "rollout not started: component or version has characters that none has"
        ) from None
    record = started(rollout, by=by, reason=reason)
    kept.start(rollout, record)
    return rollout, record


def read_steps(steps: str) -> tuple[float, ...]:
    """`5,25,50,100` as percentages. Raises `RolloutRefused`."""
    try:
        return tuple(float(weight) for weight in steps.split(","))
    except ValueError:
        raise RolloutRefused("steps: expected percentages such as 5,25,50,100") from None


def read_guard(file: Path) -> "Guard":
    """A guard from a YAML file. Raises `RolloutRefused` that names the key."""
    import yaml
    from pydantic import ValidationError

    from registry.rollout_guard import Guard

    try:
        return Guard.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise RolloutRefused(f"{file.name}: expected a guard in YAML that can be read") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise RolloutRefused(f"{file.name}: {key}: {first['msg']}; see docs/guides/rollouts.md") from None


def _versions(component: str) -> "Mapping[str, RegisteredVersion]":
    """Versions of a component, newest first, as MLflow lists them; a worker verifies what it loads."""
    from registry.store import Registry

    usecase = component.partition("/")[0]
    listed = Registry(RegistrySettings()).list_models()
    return {str(v.ref.version): v for v in listed if v.use_case == usecase and v.key_id}


def _place(*refs: "ModelRef") -> None:
    from registry.store import Registry
    from registry.versions import place_version

    settings = RegistrySettings()
    for ref in refs:
        place_version(ref, settings, Registry(settings))


def _contract(version: "RegisteredVersion") -> str:
    """What a model may answer: the labels in its package, as MLflow stores it."""
    from registry.packages import MANIFEST, parse_manifest
    from registry.store import Registry

    with tempfile.TemporaryDirectory(prefix="switchyard-rollout-") as folder:
        package = Registry(RegistrySettings()).download(version.ref, Path(folder))
        try:
            manifest = parse_manifest((package / MANIFEST).read_bytes())
        except OSError as error:
            raise RolloutRefused(
                f"version {version.ref.version} has no readable {MANIFEST}; train it again"
            ) from error
    return json.dumps(sorted(manifest.labels))
