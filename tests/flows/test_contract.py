"""Contract tests find a model that would surprise its consumers, and say which contract it breaks."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from feature_checks.contract_cases import Cases, Invariance, Pair, load_cases
from feature_checks.usecase import UseCase, load_usecase
from flows.contract import endpoints
from flows.contract.data import data_checks
from flows.contract.extremes import inside, outside
from flows.contract.footprint import Footprint, measure
from flows.contract.prediction import model_schema, prediction_checks
from flows.contract.subject import Subject, of_build
from flows.kinds import KINDS
from flows.stages import run_stage
from flows.steps.contract import contract
from registry.contract_tests import ContractCheck, parse_report
from registry.records import Acceptance, Prediction
from registry.runtimes import RUNTIMES
from registry.settings import RegistrySettings
from tests.flows.conftest import TOY
from tests.toy import write_number_usecase, write_text_usecase

LIGHT = Footprint(latency_ms=1.0, memory_mb=1.0)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both toy use cases, built as far as `calibrate`; a test works on a copy."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "toy", TOY)  # type: ignore[arg-type]  # a plain dict at run time
        patch.setitem(RUNTIMES, "toy", TOY)  # type: ignore[arg-type]  # a plain dict at run time
        patch.setenv("SWITCHYARD_HOME", str(folder / "home"))
        patch.setenv("SWITCHYARD_USECASES", str(folder / "usecases"))
        patch.chdir(folder)
        write_text_usecase(folder / "usecases")
        write_number_usecase(folder / "usecases")
        for name in ("parcels", "sums"):
            for step in ("fetch", "check", "prepare", "fit", "calibrate"):
                run_stage(step, name, "sample")
        yield folder / "build"


@pytest.fixture
def built(parcels: UseCase, once: Path) -> Path:
    shutil.copytree(once, "build")
    return Path("build/parcels/sample")


class Broken:
    """A predictor that does as it is told on top of another."""

    def __init__(self, inner: Any, row: Callable[[np.ndarray], np.ndarray] = lambda row: row) -> None:
        self.labels: tuple[str, ...] = inner.labels
        self._inner, self._row = inner, row

    def probabilities(self, rows: Any) -> np.ndarray:
        return np.array([self._row(row) for row in self._inner.probabilities(rows)])

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        row = self.probabilities([fields])[0]
        return Prediction(self.labels[int(row.argmax())], float(row.max()))


def rule(max_error: float, confidence: float) -> Acceptance:
    return Acceptance(threshold=0.5, max_error=max_error, confidence=confidence, method="none")


def failed(checks: Any) -> list[str]:
    return [check.name for check in checks if not check.passed]


def on_data(subject: Subject, usecase: UseCase, cases: Cases | None = None) -> list[str]:
    return failed(data_checks(subject, usecase, cases or Cases()))


def on_prediction(
    subject: Subject, usecase: UseCase, cost: Footprint | str = LIGHT, serving: Any = None
) -> list[str]:
    return failed(prediction_checks(subject, usecase, cost, serving, figures=True))


def test_a_sound_model_passes_and_its_report_is_written(built: Path, parcels: UseCase) -> None:
    report = contract(built, parcels, RegistrySettings())
    assert report["passed"], [c for c in report["checks"] if not c["passed"]]
    kept = parse_report((built / "contract" / "contract-tests.json").read_bytes())
    assert kept.model_dump(mode="json") == report
    assert {check.between for check in kept.checks} == {"data-model", "model-orchestrator"}
    assert "| model-orchestrator | latency | passed |" in (built / "contract/contract-tests.md").read_text()


def test_a_model_of_numbers_passes_at_its_bounds_and_gives_no_nan(sums: UseCase, once: Path) -> None:
    subject = of_build(once / "sums" / "sample", sums)
    assert on_data(subject, sums) == []
    assert {"amount": 1000.0, "hour": 11} in inside(sums)
    amounts = [row.get("amount") for row in outside(sums)]
    assert any(isinstance(amount, float) and np.isnan(amount) for amount in amounts)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda s: replace(s, inputs=("text", "colour")), "input schema"),
        (lambda s: replace(s, data_check={"passed": False, "checks": 3}), "feature contract"),
        (lambda s: replace(s, data_check=None), "feature contract"),
        (lambda s: replace(s, parity={"rows": 5, "max_abs_difference": 0.2}), "parity"),
        (lambda s: replace(s, parity=None), "parity"),
        (lambda s: replace(s, predictor=Broken(s.predictor, lambda row: row * 2)), "output schema"),
    ],
)
def test_a_broken_data_contract_is_named(
    built: Path, parcels: UseCase, change: Callable[[Subject], Subject], check: str
) -> None:
    assert check in on_data(change(of_build(built, parcels)), parcels)


def test_a_label_that_the_use_case_does_not_know_is_named(built: Path, parcels: UseCase) -> None:
    subject = of_build(built, parcels)
    strange = Broken(subject.predictor)
    strange.labels = ("lost", "late", "stolen")
    assert "label set" in on_data(replace(subject, predictor=strange), parcels)


def test_a_model_that_answers_nan_or_breaks_on_extremes_is_named(built: Path, parcels: UseCase) -> None:
    subject = of_build(built, parcels)
    nan = Broken(subject.predictor, lambda row: row * np.nan)
    assert {"output schema", "extreme inputs", "NaN and wrong types"} <= set(
        on_data(replace(subject, predictor=nan), parcels)
    )

    class Raises(Broken):
        def predict(self, fields: Mapping[str, object]) -> Prediction:
            if str(fields.get("text", "")).startswith("aaaa"):
                raise RuntimeError("too long")
            return super().predict(fields)

    assert on_data(replace(subject, predictor=Raises(subject.predictor)), parcels) == ["extreme inputs"]


def cases_of(folder: Path, after: str, label: str = "late", moves: str = "up", **more: Any) -> Cases:
    pair = {"before": {"text": "it never came"}, "after": {"text": after}}
    written = {
        "invariance": [{"name": "words", "pairs": [pair], **more}],
        "directional": [{"name": "moves", "label": label, "moves": moves, "pairs": [pair]}],
    }
    root = write_text_usecase(folder / "cased", contract={"cases": "cases.yaml"})
    (root / "cases.yaml").write_text(yaml.safe_dump(written))
    return load_cases(load_usecase("parcels", folder / "cased"))


def test_behaviour_that_holds_passes_and_behaviour_that_does_not_is_named(
    built: Path, parcels: UseCase, tmp_path: Path
) -> None:
    subject = of_build(built, parcels)
    (tmp_path / "a").mkdir()
    same = cases_of(tmp_path / "a", "IT NEVER CAME", moves="down")
    assert on_data(subject, parcels, same) == ["directional: moves"]
    (tmp_path / "b").mkdir()
    other = cases_of(tmp_path / "b", "it should have been here days ago")
    assert on_data(subject, parcels, other) == ["invariance: words"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda s: replace(s, acceptance=rule(0.5, 0.9)), "acceptance rule"),
        (lambda s: replace(s, acceptance=rule(0.1, 0.6)), "acceptance rule"),
        (lambda s: replace(s, predictor=Fickle(s.predictor)), "prediction"),
    ],
)
def test_a_broken_promise_to_the_orchestrator_is_named(
    built: Path, parcels: UseCase, change: Callable[[Subject], Subject], check: str
) -> None:
    assert on_prediction(change(of_build(built, parcels)), parcels) == [check]


class Fickle(Broken):
    """Says one thing of one request and another of many."""

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        row = self.probabilities([fields])[0]
        return Prediction(self.labels[int(row.argmin())], float(row.min()))


def test_a_model_over_a_ceiling_is_named_with_its_figure(built: Path, parcels: UseCase) -> None:
    subject = of_build(built, parcels)
    checks = prediction_checks(subject, parcels, Footprint(80.0, 4000.0), None, figures=False)
    told = {check.name: (check.passed, check.got) for check in checks}
    assert told["latency"] == (False, "80 ms")
    assert told["memory"] == (False, "4e+03 MB")
    assert on_prediction(subject, parcels, "it could not be measured: x") == ["latency", "memory"]


def test_the_cost_is_measured_in_a_process_of_its_own(built: Path, parcels: UseCase) -> None:
    found = measure(of_build(built, parcels))
    assert isinstance(found, Footprint), found
    assert found.latency_ms > 0
    assert found.memory_mb >= 0


def test_a_model_that_cannot_be_opened_there_is_said_so(built: Path, parcels: UseCase) -> None:
    subject = of_build(built, parcels)
    shutil.rmtree(subject.folder)
    assert "ended with code" in str(measure(subject))


def test_a_label_or_output_that_consumers_read_may_not_disappear(built: Path, parcels: UseCase) -> None:
    subject = of_build(built, parcels)
    now = model_schema(parcels, subject.predictor.labels)
    assert on_prediction(subject, parcels, serving=now) == []
    more = now.model_copy(update={"labels": (*now.labels, "stolen")})
    assert on_prediction(subject, parcels, serving=more) == ["compatibility"]
    wider = now.model_copy(update={"outputs": {**now.outputs, "reply": now.outputs["kind"]}})
    assert on_prediction(subject, parcels, serving=wider) == ["compatibility"]


def test_endpoint_checks_that_cannot_run_are_a_failed_check(
    parcels: UseCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoints.endpoint_checks(parcels) == ()
    other = parcels.model_copy(update={"plan": ("cloud", "safe_default"), "cloud": object(), "name": "gone"})
    [check] = endpoints.endpoint_checks(other)
    assert isinstance(check, ContractCheck)
    assert not check.passed
    assert "no such use case" in check.got


def test_the_signed_evidence_names_the_report_the_schema_and_the_hash_that_dvc_has(
    built: Path, parcels: UseCase
) -> None:
    for step in ("evaluate", "contract", "package"):
        run_stage(step, "parcels", "sample")
    said = json.loads((built / "package" / "evidence.json").read_text())
    model = said["predicate"]["switchyard_model"]
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in said["subject"]}
    assert model["contract_tests"]["sha256"] == subjects["contract-tests.json"]
    assert model["contract_tests"]["passed"] is True
    assert model["model_schema"]["labels"] == ["broken", "late", "lost"]
    [file] = [d for d in said["predicate"]["buildDefinition"]["resolvedDependencies"] if "annotations" in d]
    raw = parcels.path("data/rows.csv").read_bytes()
    assert file["annotations"]["dvc_md5"] == hashlib.md5(raw).hexdigest()
    assert "Contract tests:" in (built / "package" / "model_card.md").read_text()


def test_a_model_that_breaks_on_a_case_fails_it_and_stops_no_training(built: Path, parcels: UseCase) -> None:
    subject = of_build(built, parcels)

    class Breaks:
        labels = subject.predictor.labels

        def __init__(self) -> None:
            self.probabilities = subject.predictor.probabilities

        def predict(self, fields: Mapping[str, object]) -> Prediction:
            if fields == {"text": "broken glass"}:
                raise ValueError
            return subject.predictor.predict(fields)

    pair = Pair(before={"text": "broken glass"}, after={"text": "Broken glass"})
    cases = Cases(invariance=(Invariance(name="casing", pairs=(pair,)),))
    found = {one.name: one for one in data_checks(replace(subject, predictor=Breaks()), parcels, cases)}
    assert not found["invariance: casing"].passed
