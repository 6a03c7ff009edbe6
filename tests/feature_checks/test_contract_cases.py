"""Behaviour cases and recorded responses are read strictly; what does not fit the use case is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_checks.contract_cases import load_cases, load_recorded
from feature_checks.errors import UseCaseError
from feature_checks.usecase import UseCase, list_usecases, load_usecase
from tests.toy import write_text_usecase

SHIPPED = Path(__file__).parents[2] / "usecases"
CASES = {
    "invariance": [{"name": "casing", "pairs": [{"before": {"text": "a"}, "after": {"text": "A"}}]}],
    "directional": [
        {"name": "late", "label": "late", "moves": "up",
         "pairs": [{"before": {"text": "a"}, "after": {"text": "a, days late"}}]},
    ],
}  # fmt: skip
RECORDED = {"about": "x", "model": "m", "input": {"text": "a"}, "body": {}, "expect": "bad_response"}


def usecase_with(folder: Path, cases: Any = None, recorded: Any = None) -> UseCase:
    root = write_text_usecase(folder, contract={"cases": "cases.yaml", "responses": "responses"})
    (root / "cases.yaml").write_text(yaml.safe_dump(CASES if cases is None else cases))
    (root / "responses").mkdir()
    (root / "responses" / "one.json").write_text(json.dumps(RECORDED if recorded is None else recorded))
    return load_usecase("parcels", folder)


def test_every_shipped_use_case_has_cases_and_recordings_that_fit_it() -> None:
    assert set(list_usecases(SHIPPED)) >= {"fraud", "support"}
    for name in list_usecases(SHIPPED):
        usecase = load_usecase(name, SHIPPED)
        cases = load_cases(usecase)
        assert cases.invariance
        assert cases.directional
        assert load_recorded(usecase)


def test_a_pair_names_what_differs_from_the_usual(tmp_path: Path) -> None:
    pairs = [{"before": {}, "after": {"text": "b"}}]
    cases = load_cases(
        usecase_with(tmp_path, cases={"usual": {"text": "a"}, "invariance": [{"name": "x", "pairs": pairs}]})
    )
    assert cases.invariance[0].pairs[0].before == {"text": "a"}
    assert cases.invariance[0].pairs[0].after == {"text": "b"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda usual: usual.pop("night"), "feature 'night' is missing"),
        (lambda usual: usual.update(amount=5.0), "'amount' is no feature"),
    ],
)
def test_where_there_are_features_a_case_is_of_features(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    root = tmp_path / "fraud"
    shutil.copytree(SHIPPED / "fraud", root)
    file = root / "contract" / "cases.yaml"
    said = yaml.safe_load(file.read_text())
    change(said["usual"])
    file.write_text(yaml.safe_dump(said))
    with pytest.raises(UseCaseError, match=named):
        load_cases(load_usecase("fraud", tmp_path))


def test_cases_and_recordings_come_out_as_written(tmp_path: Path) -> None:
    usecase = usecase_with(tmp_path)
    cases = load_cases(usecase)
    assert cases.invariance[0].pairs[0].after == {"text": "A"}
    assert (cases.directional[0].label, cases.directional[0].at_least) == ("late", 1.0)
    assert load_recorded(usecase)["one.json"].expect == "bad_response"


def test_a_use_case_that_names_none_has_none(tmp_path: Path) -> None:
    write_text_usecase(tmp_path)
    usecase = load_usecase("parcels", tmp_path)
    assert load_cases(usecase).invariance == ()
    assert load_recorded(usecase) == {}


def changed(group: str, **changes: Any) -> dict[str, Any]:
    return {**CASES, group: [{**CASES[group][0], **changes}]}  # type: ignore[dict-item]  # plain data


@pytest.mark.parametrize(
    ("cases", "named"),
    [
        ({"invariants": []}, "key 'invariants' is not known"),
        (changed("directional", label="gone"), "'gone' is none of the use case's"),
        (changed("directional", moves="sideways"), "moves"),
        (changed("invariance", pairs=[]), "pairs"),
        (changed("invariance", at_least=2.0), "at_least"),
        (
            changed("invariance", pairs=[{"before": {"text": "a"}, "after": {"txt": "A"}}]),
            "'txt' is no input",
        ),
        (changed("invariance", pairs=[{"before": {"text": "a"}}]), "after"),
        (changed("invariance", name="late"), "two groups are called 'late'"),
        ([], "expected a mapping"),
    ],
)
def test_cases_that_do_not_fit_are_named(tmp_path: Path, cases: Any, named: str) -> None:
    with pytest.raises(UseCaseError, match=r"parcels/cases.yaml.*" + named):
        load_cases(usecase_with(tmp_path, cases=cases))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"expect": "fine"}, "expect"),
        ({"endpoints": ["primary"]}, "'primary' is none of none"),
        ({"input": {"words": "a"}}, "'words' is no input"),
        ({"status": 99}, "status"),
        ({"note": "x"}, "key 'note' is not known"),
    ],
)
def test_a_recording_that_does_not_fit_is_named(tmp_path: Path, changes: Any, named: str) -> None:
    with pytest.raises(UseCaseError, match=r"parcels/responses/one.json: .*" + named):
        load_recorded(usecase_with(tmp_path, recorded={**RECORDED, **changes}))


def test_a_file_that_is_not_there_or_leads_out_is_refused(tmp_path: Path) -> None:
    write_text_usecase(tmp_path, contract={"cases": "none.yaml"})
    with pytest.raises(UseCaseError, match=r"contract\.cases: there is no file 'none.yaml'"):
        load_usecase("parcels", tmp_path)
    write_text_usecase(tmp_path, name="others", contract={"cases": "../../x.yaml"})
    with pytest.raises(UseCaseError, match="leads out of the use-case folder"):
        load_usecase("others", tmp_path)
