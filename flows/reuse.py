"""Which steps of an earlier run still hold: `switchyard train --reuse` goes on after the last of them.

A step holds when it finished, everything before it holds, and what shapes all of them is unchanged:
the use case, its data files, the parameters and the code of the steps. DVC does this more finely.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_checks.datasets import Which, full
from feature_checks.usecase import UseCase
from flows.params import Params
from flows.steps.files import write_json

REUSABLE: Mapping[str, tuple[str, ...]] = {
    "fetch": ("raw/fetch.json",),
    "check": ("checked/check.json",),
    "prepare": ("prepared/prepare.json",),
    "fit": ("fit/fit.json", "model"),
    "evaluate": ("evaluation/evaluation.json",),
    "calibrate": ("calibration/calibration.json",),
}
"""step -> what it leaves. What comes after them is quick, and names its run."""

_NOTES = "steps.json"
_ROOT = Path(__file__).resolve().parent.parent
_CODE = ("flows/steps/*.py", "flows/kinds/*.py", "feature_checks/*.py", "registry/runtimes/*.py")


def fingerprint(usecase: UseCase, which: Which, params: Params) -> str:
    """SHA-256 over everything that shapes the reusable steps."""
    digest = hashlib.sha256()
    data = usecase.data
    parts: dict[str, Any] = {
        "usecase": usecase.version,
        "which": which,
        "sample": hashlib.sha256(usecase.path(data.sample).read_bytes()).hexdigest(),
        "full": [remote.sha256 for remote in full(usecase).values()] if which == "full" else [],
        "params": params.model_dump(mode="json", exclude={"pipeline"}),
    }
    digest.update(json.dumps(parts, sort_keys=True).encode())
    for pattern in _CODE:
        for file in sorted(_ROOT.glob(pattern)):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def finished(build: Path, wanted: str) -> list[str]:
    """The steps, in order, that need not run again."""
    try:
        notes = json.loads((build / _NOTES).read_text(encoding="utf-8"))
        done = dict(notes)
    except (OSError, ValueError, TypeError):
        return []
    held: list[str] = []
    for step, left in REUSABLE.items():
        if done.get(step) != wanted or not all((build / path).exists() for path in left):
            break
        held.append(step)
    return held


def note(build: Path, step: str, wanted: str) -> None:
    """Remember that a step finished. What came later is forgotten: it was made from what was before."""
    held = finished(build, wanted)
    steps = list(REUSABLE)
    kept = [name for name in held if steps.index(name) < steps.index(step)]
    write_json(build / _NOTES, dict.fromkeys([*kept, step], wanted))
