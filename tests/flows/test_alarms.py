"""An alarm starts at most one retraining, in time and within the budget; every reason against it is said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feature_checks.monitoring_spec import MonitoringSpec
from flows.alarm_store import AlarmStore
from flows.alarms import LEASE, Alarm, why_not
from flows.errors import FlowError

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SPEC = MonitoringSpec(cooldown_hours=24, runs_per_week=2)
EARLIER = Alarm(
    "a", "parcels", "parcels-kind", (NOW - timedelta(hours=30)).isoformat(), "done", "drifted: text"
)


@pytest.fixture
def store(tmp_path: Path) -> AlarmStore:
    return AlarmStore(tmp_path / "home" / "monitoring.db")


def raise_one(store: AlarmStore, now: datetime = NOW) -> Alarm:
    return store.add("parcels", "parcels-kind", "drifted: text", "run-1", SPEC, now)


def test_the_first_alarm_may_start_one_and_every_reason_against_another_is_said() -> None:
    assert why_not(SPEC, [], NOW) == ()
    assert why_not(SPEC, [EARLIER], NOW) == ()
    recent = replace(EARLIER, id="b", at=(NOW - timedelta(hours=1)).isoformat(), state="running")
    reasons = why_not(SPEC, [EARLIER, recent], NOW)
    assert [reason.partition(":")[0] for reason in reasons] == ["one at a time", "cool-down", "budget"]


def test_alarms_that_were_refused_use_up_no_budget_and_no_cool_down() -> None:
    refused = [replace(EARLIER, id=str(i), at=NOW.isoformat(), state="refused") for i in range(9)]
    assert why_not(SPEC, refused, NOW) == ()


def test_of_two_alarms_at_once_one_is_pending_and_one_refused(store: AlarmStore) -> None:
    first, second = raise_one(store), raise_one(store)
    assert (first.state, second.state) == ("pending", "refused")
    assert store.of("parcels") == [first, second]
    assert store.of("other") == []


def test_an_alarm_is_taken_by_one_run_and_taken_over_only_from_a_dead_one(store: AlarmStore) -> None:
    alarm = raise_one(store)
    taken = store.take(alarm.id, "first", NOW)
    assert taken is not None
    assert taken.state == "running"
    assert store.take(alarm.id, "second", NOW) is None
    assert store.take(alarm.id, "first", NOW) is not None  # the same run, started again
    later = store.take(alarm.id, "second", NOW + LEASE + timedelta(seconds=1))
    assert later is not None
    store.settle(later, "done", "in shadow")
    assert store.take(alarm.id, "third", NOW + 9 * LEASE) is None


def test_an_alarm_that_is_not_there_and_a_file_of_a_newer_form_are_refused(
    store: AlarmStore, tmp_path: Path
) -> None:
    with pytest.raises(FlowError, match="there is no alarm"):
        store.take("nothing", "run", NOW)
    import sqlite3

    with sqlite3.connect(tmp_path / "home" / "monitoring.db") as rows:
        rows.execute("PRAGMA user_version = 9")
    with pytest.raises(FlowError, match="expected form 1 or older, got 9"):
        raise_one(store)
