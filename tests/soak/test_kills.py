"""The long form of the killed workers: `make soak`. SOAK_KILLS and SOAK_REQUESTS make it shorter.

A supervisor looks for dead workers every ten seconds, so several workers die in the meantime: four run,
and each is killed as soon as two answer. A try may so meet three killed workers in a row; the fourth answers.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.faults.killing import audit, kills_under_load, served
from tests.scripted_endpoint import ScriptedEndpoint

KILLS = int(os.environ.get("SOAK_KILLS", "1000"))
REQUESTS = int(os.environ.get("SOAK_REQUESTS", "10000"))


@pytest.mark.soak
@pytest.mark.timeout(3600 + 60 * KILLS)
def test_a_thousand_killed_workers_leave_no_answer_without_its_record_and_no_record_forged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service answers all the time; `audit verify` holds while it runs and when it has stopped."""
    with (
        ScriptedEndpoint() as endpoint,
        served(tmp_path, tmp_path / "home", endpoint, SWITCHYARD_WORKERS="4") as server,
    ):
        got = kills_under_load(server, KILLS, REQUESTS, tries=4)
    after = audit(tmp_path / "home")
    assert after.returncode == 0, after.stdout + after.stderr
    with capsys.disabled():
        said = f"{KILLS} kills, {len(got.answers)} answers, broken connections: {dict(got.broken)}"
        sys.stdout.write(f"\n{said}; {after.stdout}")
