"""Every command of the runbooks runs as it is written, in their order, and ends as they say."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feature_checks.usecase import UseCase
from registry import store
from registry.errors import VersionRevoked
from registry.keys import ensure_signing_keys
from registry.loading import load_placed
from registry.log import read_log
from registry.settings import RegistrySettings
from registry.trust_files import keys_for
from switchyard.cli import build
from tests.flows.shelf import Shelf, publish
from tests.flows.test_promotion_cli import held

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
NAME = "parcels-kind"
held = held  # noqa: PLW0127  — a fixture: version 1 leads, 2 is as good, 3 is worse


def commands(runbook: str) -> Iterator[tuple[list[str], int]]:
    """(words, exit code) of each line of its blocks, for the small use case."""
    yield from lines(blocks(runbook, "sh"))


def lines(found: list[str]) -> Iterator[tuple[list[str], int]]:
    for block in found:
        for line in block.splitlines():
            said = line.replace("support-intent", NAME).replace("support", "parcels")
            yield shlex.split(said, comments=True), int("# exits with 1" in line)


def blocks(runbook: str, kind: str) -> list[str]:
    found: list[str] = re.findall(
        rf"```{kind}\n(.+?)\n```", (RUNBOOKS / runbook).read_text("utf-8"), re.DOTALL
    )
    return found


def test_promotions_runbook_does_what_it_says(held: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow of contract tests has tests of its own: here it is only asked for its help."""
    monkeypatch.setattr(store, "Registry", lambda settings: held)
    for words, code in commands("promotion.md"):
        program, *rest = words if words[1:3] != ["contract", "test"] else [*words[:3], "--help"]
        assert program == "switchyard"
        done = CliRunner().invoke(build(), rest)
        assert (done.exit_code, done.exception if done.exit_code != code else None) == (code, None), words
    kinds = [entry.kind for entry in read_log(RegistrySettings())]
    assert kinds[3:] == [
        "promotion", "promotion", "refusal", "freeze", "refusal", "unfreeze", "override", "withdrawal",
        "override", "revocation", "promotion", "promotion",
    ]  # fmt: skip
    assert held.aliases["champion"] == 1
    assert load_placed(NAME, "champion", RegistrySettings()).ref.version == 1


def test_the_custody_guide_shows_an_equal_a_worse_and_a_better_candidate(
    held: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`held` holds what `bench.candidates` registers: 2 makes the same guesses as 1, and 3 is worse."""
    monkeypatch.setattr(store, "Registry", lambda settings: held)
    (block,) = [each for each in blocks("../guides/custody.md", "sh") if "bench.candidates" in each]
    said = []
    for (program, *words), code in lines([block]):
        if program == "switchyard":
            done = CliRunner().invoke(build(), words)
            assert (done.exit_code, done.exception if done.exit_code != code else None) == (code, None), words
            said.append(done.stdout)
    equal, worse, _, better, _ = said
    assert "0 better and 0 worse" in equal
    assert "SHUT  accuracy" in worse
    assert "and 0 worse than the champion's" in better
    assert "0 better" not in better
    assert held.aliases["champion"] == 1


def test_keys_runbook_rotates_and_revokes_as_it_says(
    held: Shelf, built: Path, parcels: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the old key signed is verified until its end, the log reads across both, and a new pair signs."""
    monkeypatch.setattr(store, "Registry", lambda settings: held)
    look, rotate, revoke = blocks("signing-keys.md", "sh")
    (policy,) = blocks("signing-keys.md", "yaml")
    keys = RegistrySettings().keys_dir
    old = ensure_signing_keys(keys).key_id
    for line in look.splitlines():
        assert CliRunner().invoke(build(), shlex.split(line, comments=True)[1:]).exit_code == 0
    Path("trust.yaml").write_text(policy.replace("0123456789abcdef", old))
    monkeypatch.setenv("SWITCHYARD_TRUST", "trust.yaml")
    subprocess.run(["bash", "-euc", rotate], check=True)
    fitted = built / "fit" / "fit.json"
    fitted.write_text(json.dumps({**json.loads(fitted.read_text()), "params": {"note": "by the new key"}}))
    assert publish(built, parcels, held, hold=True)["version"] == 4
    new = ensure_signing_keys(keys).key_id
    settings = RegistrySettings()
    assert load_placed(NAME, "champion", settings).key_id == old != new
    assert read_log(settings)[0].key_id == old
    ended = datetime(2027, 1, 31, tzinfo=UTC)
    assert {k.key_id for k in keys_for(settings, "champion", ended) if not k.barred} == {new}
    words = shlex.split(revoke.replace("0123456789abcdef", old))
    assert CliRunner().invoke(build(), words[1:]).exit_code == 0
    with pytest.raises(VersionRevoked, match="laptop stolen"):
        load_placed(NAME, "champion", settings)
    assert read_log(settings)[-1].key_id == new


@pytest.mark.parametrize("runbook", ["rollout.md", "drift.md"])
def test_runbooks_of_rollouts_and_drift_run_as_they_are_written(
    runbook: str, held: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow of monitoring has tests of its own: here it is only asked for its help."""
    monkeypatch.setattr(store, "Registry", lambda settings: held)
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    for (program, *words), code in commands(runbook):
        rest = [words[0], "--help"] if words[0] == "monitor" else words
        assert program == "switchyard"
        done = CliRunner().invoke(build(), rest)
        assert (done.exit_code, done.exception if done.exit_code != code else None) == (code, None), words
