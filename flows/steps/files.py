"""Small files that steps leave for each other: JSON in a fixed form, and errors that name the step."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def locked(build: Path) -> Iterator[None]:
    """Keep a second training away from the same build folder. Raises `StepError` when one runs."""
    build.mkdir(parents=True, exist_ok=True)
    with (build / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepError(
                f"another training works in {build}; wait for it, or run this one in another folder"
            ) from error
        yield


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
