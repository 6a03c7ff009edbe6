"""Small files that steps leave for each other: JSON in a fixed form, and errors that name the step."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.errors import StepError


def build_dir(usecase: str, which: str, root: Path | None = None) -> Path:
    """The build folder of one use case and data set: `build/<use case>/<sample|full>`."""
    return (root or Path("build")) / usecase / which


def fresh(folder: Path) -> Path:
    """An empty folder: what an earlier run left in it is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def need(path: Path, step: str) -> Path:
    """`path`, or `StepError` naming the step that makes it."""
    if not path.exists():
        where = "/".join(path.parts[-4:])
        raise StepError(f"{where} is missing; run step '{step}' first (`switchyard stage {step} ...`)")
    return path


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Sorted keys, two spaces, a final newline: equal values are equal bytes. NaN is refused."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, step: str) -> dict[str, Any]:
    """A JSON object that `step` wrote. Raises `StepError` when it is missing or is not one."""
    try:
        value = json.loads(need(path, step).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise StepError(f"{path.name} of step '{step}' is not JSON; run that step again") from error
    if not isinstance(value, dict):
        raise StepError(f"{path.name} of step '{step}' is not a JSON object; run that step again")
    return value
