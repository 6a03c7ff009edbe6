"""May this use-case folder take the other's place step by step? Pure: what a candidate changes beyond that.

Both sides answer calls that were read by one contract, so what callers send and get must be the same. A model
goes by a rollout of its own. What only other processes read (data, learning, monitoring …) may differ: it
takes effect once the team's folder has it.
"""

from collections.abc import Mapping
from typing import Any, Literal

from feature_checks.folders import shaping_contents
from feature_checks.strict_yaml import read_mapping
from feature_checks.usecase import FieldSpec, UseCase

Part = Literal["cloud", "config"]
PARTS: tuple[Part, ...] = ("cloud", "config")


def beyond(part: Part, stable: UseCase, candidate: UseCase) -> list[str]:
    """What of `candidate` a rollout of this part cannot carry, by key or file; none: it may start."""
    found = _contract(stable, candidate)
    return [*found, *(_beyond_cloud(stable, candidate) if part == "cloud" else [])]


def _contract(stable: UseCase, candidate: UseCase) -> list[str]:
    """What both sides must share: the contract with callers, the model, and what its answers are kept by."""
    found = []
    if _fields(stable, stable.input) != _fields(candidate, candidate.input):
        found.append("input: is not stable's; callers would have to send something else")
    if _fields(stable, stable.output) != _fields(candidate, candidate.output):
        found.append("output: is not stable's; callers would see another answer form")
    for key in ("label", "features", "retention"):
        if getattr(stable, key) != getattr(candidate, key):
            found.append(f"{key}: is not stable's; change it in the use case's own folder")
    if _model(stable) != _model(candidate):
        found.append("local: another model or kind; a model goes by a rollout of <usecase>/local")
    return found


def _fields(usecase: UseCase, fields: Mapping[str, FieldSpec]) -> dict[str, Any]:
    """Fields as callers see them: approved texts and the name of a file of values are the team's own."""
    return {
        name: (spec.model_dump(exclude={"template", "values"}), usecase.values(spec))
        for name, spec in fields.items()
    }


def _model(usecase: UseCase) -> tuple[str, str] | None:
    return (usecase.local.model, usecase.local.kind) if usecase.local else None


def _beyond_cloud(stable: UseCase, candidate: UseCase) -> list[str]:
    """All but the section `cloud:` and the files that it names."""
    if stable.cloud is None or candidate.cloud is None:
        return ["cloud: both sides need that section; a plan that gains or loses it is a rollout of config"]
    mine, other = (
        read_mapping(u.path("usecase.yaml"), f"{u.name}/usecase.yaml") for u in (stable, candidate)
    )
    keys = sorted(k for k in mine.keys() | other.keys() if k != "cloud" and mine.get(k) != other.get(k))
    found = [f"{key}: is not stable's; a rollout of cloud changes `cloud:` alone" for key in keys]
    own = {"usecase.yaml"}
    for cloud in (stable.cloud, candidate.cloud):
        own |= {cloud.prompt, cloud.output_schema}
    before, after = shaping_contents(stable.root), shaping_contents(candidate.root)
    changed = sorted(
        f for f in before.keys() | after.keys() if f not in own and before.get(f) != after.get(f)
    )
    return found + [
        f"{file}: is not stable's; a rollout of cloud changes prompt and schema" for file in changed
    ]
