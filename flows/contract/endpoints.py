"""Between orchestrator and endpoint: asked of the orchestrator's own code, in a process of its own.

Flows do not import services. They meet in this report: `python -m services.endpoint_contract <usecase>`
prints a JSON list of checks.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from feature_checks.usecase import UseCase
from registry.contract_tests import ContractCheck

TIMEOUT_S = 180.0


def endpoint_checks(usecase: UseCase, timeout_s: float = TIMEOUT_S) -> tuple[ContractCheck, ...]:
    """The checks of every cloud endpoint of a use case; none where it has no cloud step."""
    if usecase.cloud is None or "cloud" not in usecase.plan:
        return ()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "services.endpoint_contract", usecase.name],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path),
                "SWITCHYARD_USECASES": str(usecase.root.parent.absolute()),
            },
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode == 0:
            return tuple(ContractCheck.model_validate(each) for each in json.loads(done.stdout))
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"it ended with code {done.returncode}: {said[-1][:300] if said else 'no message'}"
    except subprocess.TimeoutExpired:
        why = f"no report within {timeout_s:g} s"
    except (OSError, ValueError, TypeError, ValidationError) as error:
        why = f"no report: {type(error).__name__}"
    expected = "the checks of `python -m services.endpoint_contract`"
    return (
        ContractCheck(
            name="endpoints", between="orchestrator-endpoint", passed=False, expected=expected, got=why
        ),
    )
