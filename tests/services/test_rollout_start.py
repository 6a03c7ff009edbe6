"""`switchyard rollout start|export` of configurations: what may begin, and what is said of what may not."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from feature_checks.folders import folder_version
from registry.config_store import Configs
from switchyard.cli import build
from tests.services.rollouts.configs import Change, changed, usecases_in
from tests.services.rollouts.kept import kept

PROMPT: Change = ("prompts/reply.md", "Rules:", "Be short.\n\nRules:")
TIMEOUT: Change = ("usecase.yaml", "timeout_s: 8", "timeout_s: 6")
RISK: Change = ("usecase.yaml", "max_error_when_short: 0.05", "max_error_when_short: 0.04")
TEMPLATE: Change = ("templates/replies.yaml", "I'm sorry", "We are sorry")


@pytest.fixture(autouse=True)
def usecases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = usecases_in(tmp_path)
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SWITCHYARD_USECASES", str(folder))
    monkeypatch.delenv("SWITCHYARD_DATABASE_URL", raising=False)
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(build(), ["rollout", *words])


def said(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def test_a_changed_folder_is_signed_kept_and_rolled_out(usecases: Path, tmp_path: Path) -> None:
    folder = changed(usecases, tmp_path / "next", PROMPT, TIMEOUT)
    begun = said("start", "support/cloud", "--candidate-folder", str(folder))
    assert begun["candidate"] == folder_version(folder)
    assert begun["stable"] == folder_version(usecases / "support")
    assert begun["state"] == "shadow"
    cost = next(m for m in begun["guard"]["metrics"] if m["kind"] == "cost")
    assert cost["bound_usd"] == 0.002  # what the use case lets a request cost
    said("abort", "support/cloud")
    again = said("start", "support/cloud", "--candidate", begun["candidate"], "--mode", "canary")
    assert (again["state"], again["weight_percent"]) == ("canary", 5)
    with kept(tmp_path / "home") as store:
        assert Configs(store.database).versions("support") == [begun["candidate"]]


@pytest.mark.parametrize(
    ("part", "change", "expected"),
    [
        ("cloud", RISK, "local: is not stable's"),
        ("cloud", TEMPLATE, "templates/replies.yaml"),
        ("cloud", ("usecase.yaml", "plan: [rules, local,", "plan: [local, rules,"), "plan: is not"),
        ("config", ("usecase.yaml", "max_length: 2000, tags", "max_length: 9, tags"), "input: is not"),
        ("config", ("labels.txt", "card_arrival\n", "card_arrival\nanother\n"), "output: is not stable's"),
        ("config", ("usecase.yaml", "model: support-intent", "model: support-other"), "goes by a rollout of"),
        ("config", ("usecase.yaml", "timeout_s: 8", "timeout_s: 8\n  speed: 1"), "speed"),
        ("config", ("usecase.yaml", "  reply: I could not", "  replies: I could not"), "safe_default"),
        ("config", ("reply.schema.json", '"type": "object"', '"type": "objet"'), "reply.schema.json"),
        ("config", ("policy.cedar", "permit (", "permitt ("), "policy.cedar"),
        ("config", ("usecase.yaml", "name: support", "name: suport"), "name"),
    ],
)
def test_what_a_rollout_cannot_carry_is_refused_by_its_key(
    usecases: Path, tmp_path: Path, part: str, change: Change, expected: str
) -> None:
    folder = changed(usecases, tmp_path / "next", change)
    result = run("start", f"support/{part}", "--candidate-folder", str(folder))
    assert result.exit_code == 1
    assert expected in str(result.exception)
    assert said("status") == []


def test_a_folder_that_is_the_same_is_refused(usecases: Path) -> None:
    result = run("start", "support/config", "--candidate-folder", str(usecases / "support"))
    assert "nothing to roll out" in str(result.exception)


def test_a_link_in_the_folder_is_refused(usecases: Path, tmp_path: Path) -> None:
    folder = changed(usecases, tmp_path / "next", PROMPT)
    (folder / "labels.txt").unlink()
    (folder / "labels.txt").symlink_to(usecases / "support" / "labels.txt")
    result = run("start", "support/config", "--candidate-folder", str(folder))
    assert "labels.txt: expected a file of its own" in str(result.exception)


def test_a_folder_that_is_too_large_is_refused_before_it_is_read(usecases: Path, tmp_path: Path) -> None:
    folder = changed(usecases, tmp_path / "next", PROMPT)
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(1 << 36)  # no bytes on the disk
    result = run("start", "support/config", "--candidate-folder", str(folder))
    assert "at most 5000000 bytes beside data/" in str(result.exception)


def test_a_version_never_kept_and_two_or_no_ways_to_name_one_are_refused(
    tmp_path: Path,
) -> None:
    assert "no signed copy" in str(run("start", "support/cloud", "--candidate", "0" * 12).exception)
    assert "--candidate-folder" in str(run("start", "support/cloud").exception)
    both = run("start", "support/cloud", "--candidate", "0" * 12, "--candidate-folder", str(tmp_path))
    assert "--candidate-folder" in str(both.exception)


def test_cloud_and_configuration_are_not_rolled_out_at_once(usecases: Path, tmp_path: Path) -> None:
    folder = changed(usecases, tmp_path / "next", PROMPT)
    said("start", "support/cloud", "--candidate-folder", str(folder))
    assert "has one that lives" in str(
        run("start", "support/config", "--candidate-folder", str(folder)).exception
    )


def test_a_promoted_configuration_is_handed_over_before_the_next_may_begin(
    usecases: Path, tmp_path: Path
) -> None:
    folder, own = changed(usecases, tmp_path / "next", TEMPLATE), usecases / "support"
    begun = said("start", "support/config", "--candidate-folder", str(folder), "--mode", "canary")
    said("promote", "support/config", "--full")
    more = changed(usecases, tmp_path / "more", PROMPT)
    assert "rollout export" in str(run("start", "support/cloud", "--candidate-folder", str(more)).exception)
    assert "--overwrite" in str(run("export", "support/config", "--to", str(own)).exception)
    (own / "left-over.txt").write_text("of another version")
    done = run("export", "support/config", "--to", str(own), "--overwrite")
    assert done.exit_code == 0, done.exception
    assert folder_version(own) == begun["candidate"]
    assert (own / "data" / "messages.csv").is_file()
    more = changed(usecases, tmp_path / "yet more", PROMPT)
    assert said("start", "support/cloud", "--candidate-folder", str(more))


def test_a_guard_of_ones_own_is_read_and_a_wrong_one_named(usecases: Path, tmp_path: Path) -> None:
    folder = str(changed(usecases, tmp_path / "next", TEMPLATE))
    guard = tmp_path / "guard.yaml"
    guard.write_text("metrics: [{kind: rate, name: errors, margn: 0.1}]\n")
    wrong = run("start", "support/config", "--candidate-folder", folder, "--guard", str(guard))
    assert "margn" in str(wrong.exception)
    guard.write_text("metrics: [{kind: rate, name: errors, margin: 0.1}]\nnovelty_s: 5\n")
    begun = said("start", "support/config", "--candidate-folder", folder, "--guard", str(guard))
    assert begun["guard"]["novelty_s"] == 5
    assert begun["guard"]["metrics"][0]["margin"] == 0.1


@pytest.mark.parametrize("command", ["start", "export"])
def test_each_command_shows_an_example(command: str) -> None:
    assert f"Example: switchyard rollout {command}" in run(command, "--help").stdout
