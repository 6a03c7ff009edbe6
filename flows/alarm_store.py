"""Alarms of drift in `{home}/monitoring.db`: the outbox of retrainings. Each change is one transaction.

The row is written before anything is announced, so an event that is lost loses no retraining: what stays
`pending` is started anew by the next monitoring run.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from feature_checks.monitoring_spec import MonitoringSpec
from flows.alarms import Alarm, State, may_take, why_not
from flows.errors import FlowError

FORM = 1
_COLUMNS = tuple(one.name for one in fields(Alarm))
_BUSY_S = 10.0


class AlarmStore:
    """Makes its file at the first write. Raises `FlowError` for a file that it cannot use."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(
        self, use_case: str, model: str, reason: str, monitored_by: str, spec: MonitoringSpec, now: datetime
    ) -> Alarm:
        """Decide and keep: `pending`, or `refused` with every reason. Two at once: only one is pending."""
        with self._writing() as rows:
            earlier = _read(rows, "use_case = ?", use_case)
            refused = why_not(spec, earlier, now)
            state: State = "refused" if refused else "pending"
            alarm = Alarm(
                uuid4().hex[:12], use_case, model, now.isoformat(), state, reason, refused, monitored_by
            )
            _write(rows, alarm)
            return alarm

    def take(self, alarm_id: str, run: str, now: datetime) -> Alarm | None:
        """The alarm, now `running` by this run; None when another has it, or it is settled."""
        with self._writing() as rows:
            found = _read(rows, "id = ?", alarm_id)
            if not found:
                raise FlowError(
                    f"there is no alarm '{alarm_id}'; see `switchyard monitor` for those that are"
                )
            if not may_take(found[0], run, now):
                return None
            taken = replace(found[0], state="running", run=run, leased_at=now.isoformat())
            _write(rows, taken)
            return taken

    def settle(self, alarm: Alarm, state: State, outcome: str) -> Alarm:
        """What came of it."""
        with self._writing() as rows:
            settled = replace(alarm, state=state, outcome=outcome)
            _write(rows, settled)
            return settled

    def release(self, alarm: Alarm) -> bool:
        """Give an alarm whose run has died back: `pending` again, if that run still holds it."""
        with self._writing() as rows:
            now = _read(rows, "id = ?", alarm.id)
            if not now or (now[0].state, now[0].run) != ("running", alarm.run):
                return False
            _write(rows, replace(now[0], state="pending", run=None, leased_at=None))
            return True

    def of(self, use_case: str) -> list[Alarm]:
        """All alarms of a use case, oldest first."""
        if not self._file.exists():
            return []
        with self._writing() as rows:
            return _read(rows, "use_case = ?", use_case)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None)) as rows:
                rows.execute("BEGIN IMMEDIATE")
                form = rows.execute("PRAGMA user_version").fetchone()[0]
                if form > FORM:
                    raise FlowError(
                        f"{self._file.name}: expected form {FORM} or older, got {form}; use the version of "
                        "Switchyard that wrote it, or a newer one"
                    )
                if form < FORM:
                    rows.execute(f"CREATE TABLE alarms ({', '.join(_COLUMNS)}, PRIMARY KEY (id))")
                    rows.execute(f"PRAGMA user_version = {FORM}")
                yield rows
                rows.execute("COMMIT")
        except sqlite3.Error as error:
            raise FlowError(
                f"{self._file.name} cannot be used ({type(error).__name__}); see its folder"
            ) from error


def _read(rows: sqlite3.Connection, where: str, value: str) -> list[Alarm]:
    names = ", ".join(_COLUMNS)
    found = rows.execute(f"SELECT {names} FROM alarms WHERE {where} ORDER BY at", (value,))  # noqa: S608  — ours
    return [_alarm(dict(zip(_COLUMNS, row, strict=True))) for row in found]


def _alarm(row: dict[str, Any]) -> Alarm:
    return Alarm(**{**row, "refused": tuple(json.loads(row["refused"]))})


def _write(rows: sqlite3.Connection, alarm: Alarm) -> None:
    values = [json.dumps(alarm.refused) if name == "refused" else getattr(alarm, name) for name in _COLUMNS]
    marks = ", ".join("?" * len(values))
    rows.execute(f"INSERT OR REPLACE INTO alarms VALUES ({marks})", values)  # noqa: S608  — marks only
