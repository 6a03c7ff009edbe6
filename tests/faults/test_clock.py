"""Clocks that jump while requests come: what the callers get."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.journal import Journal
from services.journal_reader import verify_journal
from services.receipt_check import verify_receipt
from tests.faults.journal_writer import OUTCOME, envelope
from tests.served import served

DAY_S = 86_400.0


@pytest.mark.parametrize("jump_s", [-365 * DAY_S, -DAY_S, -1.0, 1.0, DAY_S, 10 * DAY_S])
async def test_when_the_wall_clock_jumps_callers_notice_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """Deadlines, rates and breakers go by the monotonic clock: the answer is as before, with its receipt."""
    real = time.time
    async with served(tmp_path, confidence=0.1) as running:
        before = await running.decide()
        monkeypatch.setattr(time, "time", lambda: real() + jump_s)
        after = [await running.decide(f"Question number {number}") for number in range(3)]
        monkeypatch.setattr(time, "time", real)
        after.append(await running.decide())
        jwks = (await running.client.get("/.well-known/jwks.json")).json()
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
