"""Clocks that jump while requests come: what the callers get."""

import sys
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from services.journal import Journal
from services.journal_reader import verify_journal
from services.receipt_check import verify_receipt
from tests.faults.journal_writer import OUTCOME, envelope
from tests.served import served

DAY_S = 86_400.0
ROOMS = ("services", "registry")


class JumpingClock:
    """The wall clock of our own modules, `time.time` and `datetime.now` alike; the monotonic one goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jump_s = 0.0
        self.asked: set[str] = set()
        real, clock = time.time, self

        class Jumped(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                clock.asked.add("datetime.now")
                return datetime.fromtimestamp(real() + clock.jump_s, tz)

        def now_s() -> float:
            clock.asked.add("time.time")
            return real() + clock.jump_s

        monkeypatch.setattr(time, "time", now_s)
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in ROOMS and vars(module).get("datetime") is datetime:
                monkeypatch.setattr(module, "datetime", Jumped)


@pytest.mark.parametrize("jump_s", [-365 * DAY_S, -DAY_S, -1.0, 1.0, DAY_S, 10 * DAY_S])
async def test_when_the_wall_clock_jumps_callers_notice_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """Deadlines, rates and breakers go by the monotonic clock: the answer is as before, with its receipt."""
    clock = JumpingClock(monkeypatch)
    async with served(tmp_path, confidence=0.1) as running:
        before = await running.decide()
        clock.jump_s = jump_s
        after = [await running.decide(f"Question number {number}") for number in range(3)]
        there = clock.asked
        clock.jump_s = 0.0
        after.append(await running.decide())
        jwks = (await running.client.get("/.well-known/jwks.json")).json()
    assert {"time.time", "datetime.now"} <= there, "the jump reached nobody: this test would prove nothing"
    assert before.status_code == 200
    for answer in after:
        assert answer.status_code == 200
        assert (answer.json()["route"], answer.json()["degraded"]) == ("cloud/primary", False)
        assert verify_receipt(answer.json()["receipt"], jwks)["id"] == answer.json()["id"]
    assert verify_journal(tmp_path / "journal").problems == ()


async def test_a_journal_whose_clock_goes_back_and_forth_stays_whole(tmp_path: Path) -> None:
    """Its order is that of its numbers and hashes, whatever its times say; names of files stay unique."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    jumps = iter([timedelta(days=days) for days in (0, 400, -400, 3, -3) * 20])
    journal = Journal(tmp_path, now=lambda: now + next(jumps), max_file_bytes=4000)
    taken = []
    for _ in range(30):
        request = envelope()
        await journal.append(request, OUTCOME)
        taken.append(request.id)
    journal.close()
    report = verify_journal(tmp_path)
    assert report.problems == ()
    assert len(report.files) > 2
