"""A monitoring run killed between any two of its writes settles at the next one: one alarm, one retraining.

The alarms' store is the real one, and SIGKILL is too; Prefect is a file that keeps runs by idempotency key.
"""

import itertools
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_checks.monitoring_spec import MonitoringSpec
from flows import trigger
from flows.alarm_store import AlarmStore
from flows.alarms import Alarm, why_not

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SPEC = MonitoringSpec(cooldown_hours=0, runs_per_week=2)


@dataclass
class FakePrefect:
    """Runs of the retraining deployment: id -> alarm, key, and whether it has ended."""

    file: Path

    def runs(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads(self.file.read_text()) if self.file.exists() else {}
        return found

    def start(self, alarm: str, key: str | None) -> str:
        runs = self.runs()
        same = [one for one, run in runs.items() if key is not None and run["key"] == key]
        return same[0] if same else self._write(runs, f"run-{len(runs)}", alarm, key, False)

    def end(self, run: str) -> None:
        runs = self.runs()
        self._write(runs, run, runs[run]["alarm"], runs[run]["key"], True)

    def _write(
        self, runs: dict[str, dict[str, Any]], run: str, alarm: str, key: str | None, ended: bool
    ) -> str:
        runs[run] = {"alarm": alarm, "key": key, "ended": ended}
        self.file.write_text(json.dumps(runs))
        return run

    def ended(self, run: str) -> bool:
        return bool(self.runs().get(run, {}).get("ended", False))


class Killed:
    """Lets so many writes happen, and kills this process instead of the next."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self, write: Any) -> Any:
        def instead(*given: Any, **named: Any) -> Any:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
            return write(*given, **named)

        return instead


def monitor(home: Path, at: datetime, dies_after: int, event_lost: bool) -> Alarm:
    """One monitoring run that finds drift, up to its alarm."""
    import prefect.deployments

    prefect_kept, killed = FakePrefect(home / "prefect.json"), Killed(dies_after)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("add", "release", "settle"):
            patch.setattr(AlarmStore, name, killed(getattr(AlarmStore, name)))
        patch.setattr(trigger, "ended", prefect_kept.ended)
        event = killed(lambda alarm: None if event_lost else prefect_kept.start(alarm.id, None))
        patch.setattr(trigger, "announce", event)

        def run_deployment(_: str, parameters: dict[str, str], idempotency_key: str, **__: Any) -> Any:
            return SimpleNamespace(id=prefect_kept.start(parameters["alarm"], idempotency_key))

        patch.setattr(prefect.deployments, "run_deployment", killed(run_deployment))
        store = AlarmStore(home / "monitoring.db")
        trigger.start_pending(store, "parcels", at)
        return trigger.raise_alarm(store, "parcels", "m", "drifted: input.text", "run", SPEC, at)


def monitor_and_die(home: Path, at: datetime, dies_after: int, event_lost: bool) -> None:
    child = os.fork()
    if child == 0:
        try:
            monitor(home, at, dies_after, event_lost)
        finally:
            os._exit(1)  # it was to be killed
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def take_up(home: Path, at: datetime) -> list[str]:
    """Every run that Prefect knows and that has not ended asks for its alarm; those that get it."""
    store = AlarmStore(home / "monitoring.db")
    runs = FakePrefect(home / "prefect.json").runs().items()
    return [one for one, run in runs if not run["ended"] and store.take(run["alarm"], one, at)]


def of_budget(home: Path) -> list[Alarm]:
    return [one for one in AlarmStore(home / "monitoring.db").of("parcels") if one.state != "refused"]


@pytest.mark.parametrize(("writes", "event_lost"), itertools.product((0, 1), (False, True)))
def test_a_monitoring_run_killed_before_any_of_its_writes_loses_no_alarm_and_starts_no_second_run(
    tmp_path: Path, writes: int, event_lost: bool
) -> None:
    """Before the alarm's row, and between that and its event."""
    monitor_and_die(tmp_path, NOW, writes, event_lost)
    for minutes in (10, 20, 30):
        monitor(tmp_path, NOW + timedelta(minutes=minutes), -1, event_lost)
    (alarm,) = of_budget(tmp_path)
    assert len(take_up(tmp_path, NOW + timedelta(minutes=31))) == 1
    assert take_up(tmp_path, NOW + timedelta(minutes=32)) == take_up(tmp_path, NOW + timedelta(minutes=33))
    (left,) = why_not(SPEC, [alarm], NOW + timedelta(minutes=34))
    assert left.startswith("one at a time")


@pytest.mark.parametrize("writes", [0, 1])
def test_an_outbox_killed_before_or_after_it_started_the_run_starts_one(tmp_path: Path, writes: int) -> None:
    """The writes are the start of the run, then the row of the alarm that comes after."""
    monitor(tmp_path, NOW, -1, event_lost=True)
    monitor_and_die(tmp_path, NOW + timedelta(minutes=10), writes, True)
    monitor(tmp_path, NOW + timedelta(minutes=20), -1, event_lost=True)
    assert len(FakePrefect(tmp_path / "prefect.json").runs()) == 1
    assert len(take_up(tmp_path, NOW + timedelta(minutes=21))) == 1
    assert len(of_budget(tmp_path)) == 1


@pytest.mark.parametrize("writes", [-1, 0, 1, 2])
def test_a_retraining_that_was_killed_is_started_again_by_the_next_monitoring_run(
    tmp_path: Path, writes: int
) -> None:
    """Also where that one is killed before it gives the alarm back, before the new run, and after it."""
    monitor(tmp_path, NOW, -1, event_lost=False)
    (first,) = take_up(tmp_path, NOW + timedelta(minutes=1))
    FakePrefect(tmp_path / "prefect.json").end(first)
    if writes >= 0:
        monitor_and_die(tmp_path, NOW + timedelta(minutes=10), writes, False)
    monitor(tmp_path, NOW + timedelta(minutes=20), -1, event_lost=False)
    (second,) = take_up(tmp_path, NOW + timedelta(minutes=21))
    assert second != first
    (alarm,) = of_budget(tmp_path)
    assert (alarm.state, alarm.run) == ("running", second)
    assert len(FakePrefect(tmp_path / "prefect.json").runs()) == 2


def test_runs_that_end_before_they_take_their_alarm_up_are_given_up_and_leave_the_way_free(
    tmp_path: Path,
) -> None:
    monitor(tmp_path, NOW, -1, event_lost=True)
    kept = FakePrefect(tmp_path / "prefect.json")
    for tries in range(1, trigger.TRIES + 2):
        monitor(tmp_path, NOW + timedelta(minutes=10 * tries), -1, event_lost=True)
        for run in kept.runs():
            kept.end(run)
    first, *_ = of_budget(tmp_path)
    assert first.state == "failed"
    assert "runs ended before they took it up" in str(first.outcome)
    assert sum(run["alarm"] == first.id for run in kept.runs().values()) == trigger.TRIES
