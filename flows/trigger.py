"""From an alarm to a retraining run: an event for Prefect's automation; the outbox, if it is lost."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from feature_checks.monitoring_spec import MonitoringSpec
from flows.alarm_store import AlarmStore
from flows.alarms import LEASE, Alarm

DRIFT = "switchyard.drift.detected"
TRIES = 5
GRACE = timedelta(minutes=2)
"""So long an event may take to start its run; then the outbox starts it."""


def resource_of(model: str) -> str:
    """The name that drift events of a model carry, and that its automation waits for."""
    return f"switchyard.model.{model}"


def raise_alarm(
    store: AlarmStore,
    use_case: str,
    model: str,
    reason: str,
    monitored_by: str,
    spec: MonitoringSpec,
    now: datetime,
) -> Alarm:
    """Keep the alarm, then announce it. Killed in between, the next run finds it in the outbox."""
    alarm = store.add(use_case, model, reason, monitored_by, spec, now)
    if alarm.state == "pending":
        announce(alarm)
    return alarm


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
    """Start what an event should have started and did not, and what was killed while it ran; says what was
    done for each, for the log.

    The same alarm is one run, by Prefect's idempotency key; and a run that comes late finds it taken.
    """
    moment = now or datetime.now(UTC)
    said = []
    for alarm in store.of(use_case):
        if alarm.state == "running" and _died(alarm, moment) and store.release(alarm):
            said.append(f"alarm {alarm.id}: its run {alarm.run} has died")
        elif alarm.state != "pending" or moment - datetime.fromisoformat(alarm.at) < GRACE:
            continue
        said.append(_start(store, alarm))
    return said


def _died(alarm: Alarm, now: datetime) -> bool:
    """Has the run that took this alarm up ended without settling it? By Prefect, or by its lease."""
    if now - datetime.fromisoformat(alarm.leased_at or alarm.at) > LEASE:
        return True
    return alarm.run is not None and ended(alarm.run)


def ended(run: str) -> bool:
    """Does Prefect know this run as ended? Not of a run that it does not know: the lease decides then."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run)).state
    except (ObjectNotFound, ValueError):
        return False
    return state is not None and state.is_final()


def _start(store: AlarmStore, alarm: Alarm) -> str:
    """One run for each try: a run of this alarm that ended before it took it up is followed by the next."""
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    name = f"retraining/{alarm.use_case}"
    for attempt in range(1, TRIES + 1):
        try:
            run: Any = run_deployment(  # not awaited in sync code, whatever its type says
                name,
                parameters={"usecase_name": alarm.use_case, "alarm": alarm.id},
                idempotency_key=f"alarm-{alarm.id}-{attempt}",
                timeout=0,
                as_subflow=False,
            )
        except (ObjectNotFound, ValueError):
            return f"alarm {alarm.id} waits: nothing serves {name}; `switchyard up` does"
        if not ended(str(run.id)):
            return f"alarm {alarm.id}: retraining run {run.id} started from the outbox"
    store.settle(alarm, "failed", why := f"{TRIES} runs ended before they took it up or settled it")
    return f"alarm {alarm.id} is given up: {why}; `switchyard retrain {alarm.use_case}`"
