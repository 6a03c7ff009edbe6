"""Fetching models that are not placed yet, in a process of its own: MLflow is slow and large to import."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from registry.errors import ModelNotFound
from registry.loading import placed_ref
from registry.settings import RegistrySettings
from services.children import child_environment
from services.model_shelf import ALIAS


def not_placed(names: Sequence[str], settings: RegistrySettings) -> list[str]:
    """Those of `names` that have no placed copy on this machine."""
    missing = []
    for name in names:
        try:
            placed_ref(name, ALIAS, settings)
        except ModelNotFound:
            missing.append(name)
    return missing


def sync(
    names: Sequence[str], settings: RegistrySettings, timeout_s: float, version: str | None = None
) -> str | None:
    """Place what MLflow has of `names`. None when all are placed, else a line that says what is wrong.

    With `version`, exactly that one. Asks nothing where no MLflow was ever used: nothing is there then.
    """
    if settings.mlflow_tracking_uri is None and not (settings.home / "mlflow.db").exists():
        return "no model was trained here yet"
    process = subprocess.Popen(
        [sys.executable, "-m", "registry.sync", *names, *(["--version", version] if version else [])],
        env=child_environment(SWITCHYARD_HOME=str(settings.home)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"MLflow did not answer within {timeout_s:g} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return None if process.returncode == 0 else _why(told, names)


def _why(told: bytes, names: Sequence[str]) -> str:
    """The errors among the JSON lines that `registry.sync` prints, one for each name."""
    errors = []
    for line in told.splitlines():
        with suppress(ValueError, TypeError, AttributeError):
            errors.append(json.loads(line).get("error"))
    known = [str(error) for error in errors if error]
    return "; ".join(known) or f"`python -m registry.sync {' '.join(names)}` says what is wrong"
