"""`switchyard retrain`: the retraining flow by hand, beside what drift starts."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

from feature_checks.usecase import load_usecase
from flows.progress import listening
from flows.surroundings import prefect_api, require_mlflow
from flows.train_command import StepLines
from registry.settings import RegistrySettings


def run(name: str, data: Literal["auto", "sample", "full"], snapshot: Path | None, as_json: bool) -> None:
    """Retrain use case `name` on a snapshot, by default the newest. Raises what the flow raises."""
    load_usecase(name)
    settings = RegistrySettings()
    require_mlflow(settings)
    say = Console(stderr=True, highlight=False)
    if not os.environ.get("PREFECT_API_URL"):
        say.print("Starting Prefect for this run (the very first time takes up to a minute) ...")
        # Unasked, a termination would leave that server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with prefect_api(settings.home) as wait_ready, listening(StepLines(say)):
        from flows.retraining import retraining  # brings Prefect, which reads its settings on import

        wait_ready()
        found = retraining(name, data=data, snapshot=snapshot)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        Console(highlight=False).print(f"{found['outcome']}.", soft_wrap=True)
