"""The commands of docs/guides/audit.md on a home that really answered."""

import json
from pathlib import Path

from typer.testing import CliRunner

from services.journal_reader import journal_files
from switchyard.cli import build
from tests.served import served

CARD = "4111 1111 1111 1111"


def run(*arguments: str):
    return CliRunner().invoke(build(), list(arguments))


async def test_answers_are_checkpointed_shipped_shown_retained_and_verified(
    home: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("SWITCHYARD_CHECKPOINTS_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("SWITCHYARD_RETENTION_DAYS", "30")
    async with served(home, shipping_s=0.01) as app:
        answer = (await app.decide(f"My card {CARD} is lost")).json()
        while app.runtime.find_decision(answer["id"]) is None or not (home / "decisions.db").exists():
            pass
        assert app.runtime.readiness().warnings == ()
        metrics = (await app.client.get("/metrics")).text
        assert "switchyard_shipping_behind_bytes" in metrics
    verified = run("audit", "verify", "--json")
    found = json.loads(verified.stdout)
    assert (found["ok"], found["unprotected"], found["records"]) == (True, {}, 2)
    assert found["checkpoints"] >= 1
    assert answer["id"] in run("audit", "show", answer["id"]).stdout
    assert (
        "1 contents would be taken out"
        in run("audit", "retain", "--dry-run", "--now", "2099-01-01T00:00:00+00:00").stdout
    )
    assert run("audit", "retain", "--now", "2099-01-01T00:00:00+00:00").exit_code == 0
    assert '"removed"' in run("audit", "show", answer["id"]).stdout
    assert "content removed by retention" in run("audit", "show", "--last", "1").stdout
    assert json.loads(run("audit", "verify", "--json").stdout)["removed"] == 1
    receipt = tmp_path / "answer.jws"
    receipt.write_text(answer["receipt"])
    assert run("receipt", "verify", str(receipt), "--decision", answer["id"]).exit_code == 0
    replayed = run("receipt", "verify", str(receipt), "--decision", "f" * 32)
    assert replayed.exit_code == 1
    assert "another decision" in replayed.output
    (file,) = journal_files(home / "journal")
    file.unlink()
    gone = run("audit", "verify")
    assert gone.exit_code == 1
    assert f"BROKEN: {file.name}" in gone.stdout


async def test_checkpoints_that_cannot_be_written_are_told_and_answers_go_on(home: Path, tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    async with served(home, checkpoints_dir=blocked / "inside", checkpoint_s=0.01) as app:
        assert (await app.decide()).status_code == 200
        while not app.runtime.readiness().warnings:
            pass
        state = app.runtime.readiness()
        assert state.ready
        assert "checkpoints copy" in state.warnings[0]
        assert (await app.decide()).status_code == 200
