"""`python -m flows.deployments`: schedules and triggers, only here. Serves the flows of all use cases.

Each use case with a local model has `monitoring/<use case>`, by the clock, and `retraining/<use case>`, by an
automation: Prefect starts it when a drift event of its model arrives. With `local.cost` in usecase.yaml
it has `thresholds/<use case>` too.
"""

import os
import sys
from datetime import timedelta
from typing import Any

from feature_checks.usecase import UseCase, list_usecases, load_usecase


def deployments_of(usecase: UseCase) -> list[Any]:
    """Its deployments; empty for a use case without a local model."""
    from prefect.events import DeploymentEventTrigger

    from flows.monitoring import monitoring
    from flows.retraining import retraining
    from flows.thresholds import thresholds
    from flows.trigger import DRIFT, resource_of

    if usecase.local is None:
        return []
    tags = ["switchyard", f"use-case:{usecase.name}"]
    alarm: Any = {"__prefect_kind": "jinja", "template": "{{ event.payload.alarm }}"}
    trigger = DeploymentEventTrigger(
        name=f"drift of {usecase.local.model} -> retraining",
        expect={DRIFT},
        match={"prefect.resource.id": resource_of(usecase.local.model)},
        parameters={"usecase_name": usecase.name, "alarm": alarm},
    )
    adjusting = thresholds.to_deployment(
        name=usecase.name,
        interval=timedelta(hours=1),
        parameters={"usecase_name": usecase.name},
        tags=tags,
        concurrency_limit=1,
        description="Should the local model's threshold follow cost, within the team's bounds?",
    )
    return [
        *([adjusting] if usecase.local.cost else []),
        monitoring.to_deployment(
            name=usecase.name,
            interval=timedelta(minutes=usecase.monitoring.every_minutes),
            parameters={"usecase_name": usecase.name},
            tags=tags,
            description="Has the traffic moved away from what the local model was trained on?",
        ),
        retraining.to_deployment(
            name=usecase.name,
            parameters={"usecase_name": usecase.name},
            triggers=[trigger],
            tags=tags,
            concurrency_limit=1,
            description="Trains on what was learned since, and puts a better candidate into shadow.",
        ),
    ]


def main() -> int:
    """Serve until a signal. Needs the address of a Prefect server."""
    if not os.environ.get("PREFECT_API_URL"):
        sys.stderr.write(
            "flows: PREFECT_API_URL is not set; start Prefect with `switchyard up`, and name it\n"
        )
        return 1
    from prefect import serve

    found = [one for name in list_usecases() for one in deployments_of(load_usecase(name))]
    serve(*found, pause_on_shutdown=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
