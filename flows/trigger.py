"""From an alarm to a retraining run: an event for Prefect's automation; the outbox, if it is lost."""

from datetime import UTC, datetime, timedelta

from flows.alarm_store import AlarmStore
from flows.alarms import Alarm

DRIFT = "switchyard.drift.detected"
GRACE = timedelta(minutes=2)
"""So long an event may take to start its run; then the outbox starts it."""


def resource_of(model: str) -> str:
    """The name that drift events of a model carry, and that its automation waits for."""
    return f"switchyard.model.{model}"


def announce(alarm: Alarm) -> None:
    """Emit the event. The run that raised the alarm is related to it, so that the UI links the two."""
    from prefect.events import emit_event

    related = [
        {"prefect.resource.id": f"prefect.flow-run.{alarm.monitored_by}", "prefect.resource.role": "cause"}
    ]
    emit_event(
        event=DRIFT,
        resource={
            "prefect.resource.id": resource_of(alarm.model),
            "prefect.resource.name": alarm.model,
            "switchyard.use_case": alarm.use_case,
        },
        related=related if alarm.monitored_by else [],
        payload={"alarm": alarm.id, "use_case": alarm.use_case, "reason": alarm.reason},
    )


def start_pending(store: AlarmStore, use_case: str, now: datetime | None = None) -> list[str]:
    """Start what an event should have started and did not; says what was done for each, for the log.

    The same alarm is one run, by Prefect's idempotency key; and a run that comes late finds it taken.
    """
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    moment = now or datetime.now(UTC)
    said = []
    for alarm in store.of(use_case):
        if alarm.state != "pending" or moment - datetime.fromisoformat(alarm.at) < GRACE:
            continue
        try:
            run = run_deployment(
                f"retraining/{use_case}",
                parameters={"usecase_name": use_case, "alarm": alarm.id},
                idempotency_key=f"alarm-{alarm.id}",
                timeout=0,
                as_subflow=False,
            )
        except (ObjectNotFound, ValueError):
            said.append(
                f"alarm {alarm.id} waits: nothing serves retraining/{use_case}; `python -m flows.deployments`"
            )
        else:
            said.append(f"alarm {alarm.id}: retraining run {run.id} started from the outbox")  # type: ignore[union-attr]  # not awaited in sync code
    return said
