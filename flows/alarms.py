"""May this alarm start a retraining? A pure rule: (limits of the use case, alarms until now) -> why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from feature_checks.monitoring_spec import MonitoringSpec

State = Literal["refused", "pending", "running", "done", "failed"]
LIVE: tuple[State, ...] = ("pending", "running")
STARTED: tuple[State, ...] = ("pending", "running", "done", "failed")
LEASE = timedelta(hours=2)
"""A run of such length was killed: another may take its alarm up, and go on where it stopped."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One time that drift was found. `refused` says why it starts nothing; `run` has taken it up. Times are
    ISO 8601, UTC; `monitored_by` is the Prefect run that raised it."""

    id: str
    use_case: str
    model: str
    at: str
    state: State
    reason: str
    refused: tuple[str, ...] = ()
    monitored_by: str = ""
    run: str | None = None
    leased_at: str | None = None
    outcome: str | None = None


def why_not(spec: MonitoringSpec, earlier: Sequence[Alarm], now: datetime) -> tuple[str, ...]:
    """Every reason against one more retraining of this use case; none: it may start."""
    started = [alarm for alarm in earlier if alarm.state in STARTED]
    found = [f"one at a time: alarm {alarm.id} is {alarm.state}" for alarm in started if alarm.state in LIVE]
    last = max((datetime.fromisoformat(alarm.at) for alarm in started), default=None)
    if last is not None and now < (free := last + timedelta(hours=spec.cooldown_hours)):
        found.append(
            f"cool-down: the last was at {last:%Y-%m-%d %H:%M}Z, the next may be at {free:%Y-%m-%d %H:%M}Z"
        )
    week = [alarm for alarm in started if now - datetime.fromisoformat(alarm.at) < timedelta(days=7)]
    if len(week) >= spec.runs_per_week:
        found.append(f"budget: {len(week)} of {spec.runs_per_week} runs of the last 7 days are used")
    return tuple(found)


def may_take(alarm: Alarm, run: str, now: datetime) -> bool:
    """May this run take the alarm up? Once: an event and the outbox may both have started one."""
    if alarm.state == "running":
        held = datetime.fromisoformat(alarm.leased_at or alarm.at)
        return alarm.run == run or now - held > LEASE
    return alarm.state == "pending"
