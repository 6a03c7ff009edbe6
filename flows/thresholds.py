"""The thresholds flow: asks the orchestrator's own code whether a threshold should follow cost, by the clock.

Flows do not import services: this runs `switchyard thresholds adjust <usecase> --json` as a process.
"""

import json
import subprocess
import sys
from typing import Any

from prefect import flow, get_run_logger

from flows.errors import StepError

TIMEOUT_S = 300.0


@flow(name="thresholds", flow_run_name="{usecase_name}", persist_result=False)
def thresholds(usecase_name: str, days: int = 30) -> dict[str, Any]:
    """Move the threshold if reviewed decisions say so; returns what the command says. Raises `StepError`."""
    asked = ["-m", "switchyard", "thresholds", "adjust", usecase_name, "--days", str(days), "--json"]
    try:
        done = subprocess.run([sys.executable, *asked], capture_output=True, timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise StepError(said[-1][:500] if said else f"it ended with code {done.returncode}")
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise StepError(f"`switchyard thresholds adjust` said nothing within {TIMEOUT_S:g} s") from None
    except (OSError, ValueError) as error:
        raise StepError(f"`switchyard thresholds adjust` gave no answer ({type(error).__name__})") from None
    what = f"now {found['threshold']}" if found["changed"] else "stays"
    get_run_logger().info("%s: %s: %s", usecase_name, what, found["waits"] or found["reason"])
    return found
