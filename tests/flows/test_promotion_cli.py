"""`switchyard registry gate|promote|withdraw|freeze`: what a person is told, and what the log keeps."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from feature_checks.promotion_spec import PromotionSpec
from feature_checks.usecase import UseCase
from flows import promotion_commands
from flows.stages import run_stage
from registry import promoting
from registry.audit import check_copies
from registry.errors import PackageRefused, PromotionRaced, PromotionRefused
from registry.loading import load_placed
from registry.log import read_log
from registry.placing import place as place_here
from registry.settings import RegistrySettings
from services.evidence.running import verify_home
from switchyard.cli import build
from tests.flows.shelf import Shelf, publish, worsened

NAME = "parcels-kind"


@pytest.fixture
def held(built: Path, parcels: UseCase, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Version 1 leads. Version 2 makes the same guesses, version 3 is worse; nobody was asked about those."""
    for reads in ("Registry", "QuickReads"):
        monkeypatch.setattr(promotion_commands, reads, lambda settings: shelf)
    publish(built, parcels, shelf)
    frozen = parcels.model_copy(update={"promotion": PromotionSpec(freeze="for this test")})
    params = built / "fit" / "fit.json"
    fitted = json.loads(params.read_text())
    params.write_text(json.dumps({**fitted, "params": {**fitted["params"], "note": "the same guesses"}}))
    publish(built, frozen, shelf)
    worsened(built)
    publish(built, frozen, shelf)
    return shelf


def run(*words: str) -> Result:
    return CliRunner().invoke(build(), ["registry", *words])


def said(*words: str, code: int = 0) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout)


def kinds() -> list[str]:
    return [entry.kind for entry in read_log(RegistrySettings())]


def shut(found: Any) -> list[str]:
    return [gate["name"] for gate in found["gates"] if not gate["passed"]]


def test_the_gate_explains_a_worse_an_equal_and_a_better_candidate_and_changes_nothing(
    held: Shelf, parcels: UseCase
) -> None:
    before = kinds()
    equal = said("gate", "parcels", "--version", "2")
    assert (equal["open"], equal["champion"]["version"], shut(equal)) == (True, 1, [])
    assert "0 better and 0 worse" in equal["reason"]
    worse = said("gate", "parcels", "--version", "3", code=1)
    assert (worse["open"], shut(worse)) == (False, ["promise", "accuracy"])
    assert "of accuracy, allowed is 0.02" in run("gate", "parcels", "--version", "3").output
    assert (held.aliases, kinds()) == ({"champion": 1}, before)

    said("promote", "parcels", "--version", "3", "--to", "champion", "--override", "--reason", "to show it")
    better = said("gate", "parcels", "--version", "1")
    assert (better["open"], better["champion"]["version"]) == (True, 3)
    assert "0 worse than the champion's" in better["reason"]


def test_whoever_drops_the_alias_in_mlflow_does_not_open_the_gate_where_no_copy_is_placed(
    held: Shelf,
) -> None:
    held.aliases.clear()
    assert said("gate", "parcels", "--version", "2")["champion"]["version"] == 1, "the copy placed here"
    shutil.rmtree(RegistrySettings().models_dir)
    found = said("gate", "parcels", "--version", "3", code=1)
    assert (found["champion"], shut(found)) == (None, ["champion"])
    assert "the signed log lets version 1 lead, and MLflow does not know of that" in found["reason"]
    assert said("promote", "parcels", "--version", "1", "--to", "champion")["promoted"] is True


def test_a_pointer_that_was_changed_by_hand_to_a_version_that_was_refused_is_told_by_verify(
    held: Shelf,
) -> None:
    said("promote", "parcels", "--version", "3", "--to", "champion", code=1)
    settings = RegistrySettings()
    assert [check.error for check in check_copies(NAME, settings, held)] == [None, None]
    pointer, third = settings.models_dir / NAME / "champion.json", held.version(NAME, 3)
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "version": 3, "digest": third.digest}))
    (told,) = (check.error for check in check_copies(NAME, settings, held) if check.where == "placed")
    assert "points to version 3 here, and the signed log lets it mean 1" in str(told)


def test_the_newest_version_is_asked_about_where_none_is_named(held: Shelf) -> None:
    assert said("gate", "parcels", code=1)["version"] == 3
    assert said("gate", "parcels", "--alias", "champion")["version"] == 1
    assert isinstance(
        run("gate", "parcels", "--alias", "champion", "--version", "1").exception, PromotionRefused
    )


def test_promote_refuses_unless_the_gate_is_open_and_says_so_in_the_log(held: Shelf) -> None:
    found = said("promote", "parcels", "--version", "3", "--to", "canary", code=1)
    assert (found["promoted"], held.aliases) == (False, {"champion": 1})
    last = read_log(RegistrySettings())[-1]
    assert (last.kind, last.body["version"], last.body["alias"]) == ("refusal", 3, "canary")
    assert last.body["by"].startswith("operator ")
    assert held.tags[3]["gate.canary"].startswith("shut: ")


def test_an_open_gate_lets_canary_and_then_champion_move_and_both_are_placed(held: Shelf) -> None:
    assert said("promote", "parcels", "--version", "2", "--to", "canary")["promoted"] is True
    settings = RegistrySettings()
    assert load_placed(NAME, "canary", settings).ref.version == 2
    assert load_placed(NAME, "champion", settings).ref.version == 1
    assert said("promote", "parcels", "--alias", "canary", "--to", "champion")["promoted"] is True
    assert load_placed(NAME, "champion", settings).ref.version == 2
    assert load_placed(NAME, "previous", settings).ref.version == 1
    assert kinds()[-2:] == ["promotion", "promotion"]
    assert held.tags[2]["gate.champion"].startswith("open: ")


def test_a_promotion_that_was_done_already_is_done_again_without_another_entry(held: Shelf) -> None:
    before = kinds()
    assert said("promote", "parcels", "--version", "1", "--to", "champion")["promoted"] is True
    assert kinds() == before


def test_an_override_needs_a_reason_and_is_kept_with_the_gates_and_who(held: Shelf) -> None:
    for reason in ([], ["--reason", " "]):
        asked = run("promote", "parcels", "--version", "3", "--to", "champion", "--override", *reason)
        assert isinstance(asked.exception, PromotionRefused)
    assert held.aliases == {"champion": 1}
    said(
        "promote", "parcels", "--version", "3", "--to", "champion", "--override", "--reason", "regulator asks"
    )
    last = read_log(RegistrySettings())[-1]
    assert (last.kind, last.body["reason"]) == ("override", "regulator asks")
    assert last.body["by"].startswith("operator ")
    assert {gate["name"] for gate in last.body["gates"] if not gate["passed"]} == {"promise", "accuracy"}
    assert load_placed(NAME, "champion", RegistrySettings()).ref.version == 3
    assert "regulator asks" in run("log").output


def test_no_override_lets_a_key_promote_that_may_not_sign_for_the_stage(
    held: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "strict.yaml"
    policy.write_text("format_version: 1\nsigners: [{key: own, stages: [candidate, canary]}]\n")
    monkeypatch.setenv("SWITCHYARD_TRUST", str(policy))
    words = ("promote", "parcels", "--version", "2", "--to", "champion", "--override", "--reason", "please")
    asked = run(*words)
    assert isinstance(asked.exception, PromotionRefused)
    assert "no override helps" in str(asked.exception)
    assert held.aliases == {"champion": 1}


def test_a_freeze_shuts_the_gate_until_it_is_ended_and_stands_in_the_log(held: Shelf) -> None:
    assert run("freeze", "parcels", "--reason", "end of year").exit_code == 0
    found = said("gate", "parcels", "--version", "2", code=1)
    assert shut(found) == ["freeze"]
    assert "end of year" in found["reason"]
    assert isinstance(run("freeze", "parcels", "--reason", "again").exception, PromotionRefused)
    assert run("unfreeze", "parcels", "--reason", "new year").exit_code == 0
    assert said("gate", "parcels", "--version", "2")["open"] is True
    assert kinds()[-2:] == ["freeze", "unfreeze"]
    assert not [problem for problem in verify_home({"keys": []}).problems if "promotions" in problem]


def test_a_canary_is_withdrawn_with_a_reason(held: Shelf) -> None:
    said("promote", "parcels", "--version", "2", "--to", "canary")
    assert run("withdraw", "parcels", "--alias", "canary", "--reason", "complaints").exit_code == 0
    last = read_log(RegistrySettings())[-1]
    assert (last.kind, last.body["reason"], held.aliases) == ("withdrawal", "complaints", {"champion": 1})


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    held: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    judged = promotion_commands.judge

    def slowly(*args: Any, **kwargs: Any) -> Any:
        inside.set()
        assert go_on.wait(60)
        return judged(*args, **kwargs)

    monkeypatch.setattr(promotion_commands, "judge", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(promotion_commands.carry_out, "parcels", 2, None, "champion", None, False)
        try:
            assert inside.wait(60)
            with pytest.raises(PromotionRaced, match="is under way"):
                promotion_commands.carry_out("parcels", 3, None, "champion", None, False)
        finally:
            go_on.set()
        assert first.result()[-1] is True
    assert held.aliases == {"champion": 2}


def test_while_another_process_promotes_this_one_is_told_and_when_that_dies_the_way_is_free(
    held: Shelf,
) -> None:
    """Killed, it takes its lock with it: nobody has to remove a file."""
    program = (
        "import sys\n"
        "from registry.promoting import promoting\n"
        "from registry.settings import RegistrySettings\n"
        f"with promoting({NAME!r}, RegistrySettings()): print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    env = {**os.environ, "PYTHONPATH": str(Path(promoting.__file__).parents[1])}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "mine\n"
            before = kinds()
            asked = run("promote", "parcels", "--version", "2", "--to", "champion")
            assert isinstance(asked.exception, PromotionRaced)
            assert (held.aliases, kinds()) == ({"champion": 1}, before)
        finally:
            other.kill()
    assert said("promote", "parcels", "--version", "2", "--to", "champion")["promoted"] is True


def test_a_champion_that_was_moved_while_a_version_was_judged_is_not_overwritten(
    held: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another machine, which takes no lock here."""
    judged = promotion_commands.judge

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        found = judged(*args, **kwargs)
        held.aliases["champion"] = 3
        return found

    monkeypatch.setattr(promotion_commands, "judge", meanwhile)
    asked = run("promote", "parcels", "--version", "2", "--to", "champion")
    assert isinstance(asked.exception, PromotionRaced)
    assert held.aliases == {"champion": 3}


@pytest.mark.parametrize("dies_in", ["note", "set_alias", "place"])
def test_a_promotion_that_died_in_the_middle_is_repeated(
    held: Shelf, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(promoting if dies_in == "place" else Shelf, dies_in, dies)
        assert run("promote", "parcels", "--version", "2", "--to", "champion").exit_code != 0
    assert load_placed(NAME, "champion", RegistrySettings()).ref.version == 1
    assert said("promote", "parcels", "--version", "2", "--to", "champion")["promoted"] is True
    assert load_placed(NAME, "champion", RegistrySettings()).ref.version == 2


def test_rows_that_are_not_here_shut_the_gate_and_it_says_how_to_get_them(held: Shelf, built: Path) -> None:
    (built / "prepared" / "test.parquet").unlink()
    found = said("gate", "parcels", "--version", "2", code=1)
    assert shut(found) == ["rows"]
    assert "`switchyard stage prepare parcels`" in found["reason"]
    for step in ("fetch", "check", "prepare"):
        run_stage(step, "parcels", "sample")
    assert said("gate", "parcels", "--version", "2")["open"] is True


def test_other_rows_than_those_of_the_signed_evidence_are_not_judged_on(held: Shelf, built: Path) -> None:
    import pandas as pd

    file = built / "prepared" / "test.parquet"
    pd.read_parquet(file).iloc[:-1].to_parquet(file, index=False)
    assert shut(said("gate", "parcels", "--version", "2", code=1)) == ["rows"]


def test_a_version_that_failed_a_contract_test_is_refused_by_its_name(
    held: Shelf, built: Path, parcels: UseCase
) -> None:
    file = built / "contract" / "contract-tests.json"
    report = json.loads(file.read_text())
    report["passed"] = report["checks"][0]["passed"] = False
    file.write_text(json.dumps(report))
    assert publish(built, parcels, held)["champion"] is False
    found = said("gate", "parcels", code=1)
    assert "contract tests" in shut(found)
    assert f"the contract tests did not pass: {report['checks'][0]['name']}" in json.dumps(found)


def test_a_version_that_would_break_a_consumer_of_the_one_that_serves_now_is_refused(
    held: Shelf, built: Path, parcels: UseCase
) -> None:
    """By the schemas that both were signed with, whatever served when it was trained."""
    narrowed = {"text": parcels.input["text"].model_copy(update={"max_length": 5})}
    stricter = parcels.model_copy(
        update={"input": narrowed, "promotion": PromotionSpec(freeze="for this test")}
    )
    publish(built, stricter, held)
    asked = said("gate", "parcels", "--version", "4", code=1)
    assert "schema" in shut(asked)
    (gate,) = (gate for gate in asked["gates"] if gate["name"] == "schema")
    assert "input 'text': max_length fell from" in gate["said"]


def test_a_version_whose_files_were_changed_is_not_judged(held: Shelf) -> None:
    (held.versions[1][0] / "toy.json").write_text("{}")
    for copy in (RegistrySettings().models_dir / NAME).glob("2-*/toy.json"):
        copy.chmod(0o644)
        copy.write_text("{}")
    assert isinstance(run("gate", "parcels", "--version", "2").exception, PackageRefused)


def test_a_revoked_champion_is_replaced_by_what_serves_instead_as_the_measure(held: Shelf) -> None:
    said("promote", "parcels", "--version", "2", "--to", "champion")
    assert run("revoke", "--model", NAME, "--reason", "wrong labels").exit_code == 0
    found = said("gate", "parcels", "--version", "3", code=1)
    assert (found["champion"]["version"], shut(found)) == (1, ["promise", "accuracy"])
    with pytest.raises(PackageRefused):
        place_here(NAME, "champion", RegistrySettings(), held)
