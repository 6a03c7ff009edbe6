"""Between model and orchestrator: what a prediction holds, at which cost, and what consumers rely on."""

import math
from collections.abc import Iterator

from feature_checks.contracts import feature_contract
from feature_checks.usecase import FieldSpec, UseCase
from flows.contract.footprint import Footprint
from flows.contract.subject import Subject
from registry.contract_tests import ContractCheck
from registry.model_schema import FieldSchema, ModelSchema, broken_promises
from registry.records import Prediction
from registry.runtimes import judged

TOLERANCE = 1e-5
SHOWN = 3


def prediction_checks(
    subject: Subject, usecase: UseCase, footprint: Footprint | str, serving: ModelSchema | None, figures: bool
) -> Iterator[ContractCheck]:
    """All checks of this contract. `footprint` is what was measured, or why nothing could be.

    Without `figures` the report says only that ceilings are kept, so that equal inputs give equal bytes.
    """
    yield _prediction(subject)
    yield _acceptance(subject, usecase)
    limits = usecase.contract
    for name, unit, ceiling in (("latency", "ms", limits.latency_ms), ("memory", "MB", limits.memory_mb)):
        yield _ceiling(name, unit, ceiling, footprint, figures)
    yield _compatible(model_schema(usecase, subject.predictor.labels), serving)


def model_schema(usecase: UseCase, labels: tuple[str, ...]) -> ModelSchema:
    """The schema of a use case's model, as evidence keeps it."""
    fields = {field.name: field for field in feature_contract(usecase).fields}
    inputs = {
        name: FieldSchema(
            type=field.type,
            required=field.required,
            min_length=field.min_length,
            max_length=field.max_length if field.type == "string" else None,
            minimum=field.minimum,
            maximum=field.maximum,
            values=field.values,
        )
        for name, field in fields.items()
    }
    outputs = {name: _output(name, spec, usecase) for name, spec in usecase.output.items()}
    return ModelSchema(inputs=inputs, outputs=outputs, labels=tuple(sorted(labels)))


def _output(name: str, spec: FieldSpec, usecase: UseCase) -> FieldSchema:
    return FieldSchema(type=spec.type, required=spec.required, values=usecase.allowed(name))


def _prediction(subject: Subject) -> ContractCheck:
    """One at a time says what all at once say: the most probable label, and its confidence as a plain
    number."""
    rows = subject.rows[:50]
    wrong = 0
    for row, probabilities, confidence in zip(rows, *judged(subject.predictor, rows), strict=True):
        said = subject.predictor.predict(row)
        fits = (
            isinstance(said, Prediction)
            and type(said.confidence) is float
            and math.isfinite(said.confidence)
            and said.label == subject.predictor.labels[int(probabilities.argmax())]
            and abs(said.confidence - float(confidence)) <= TOLERANCE
        )
        wrong += not fits
    expected = f"of {len(rows)} rows, the most probable label with its confidence"
    return _check("prediction", not wrong, expected, f"{wrong} without" if wrong else "that")


def _acceptance(subject: Subject, usecase: UseCase) -> ContractCheck:
    assert usecase.local is not None
    rule, risk = subject.acceptance, usecase.local.risk
    passed = rule.max_error <= risk.max_error and rule.confidence >= risk.confidence
    expected = f"calibrated for at most {risk.max_error:g} wrong with {risk.confidence:g} confidence"
    return _check("acceptance rule", passed, expected, f"{rule.max_error:g} with {rule.confidence:g}")


def _ceiling(
    name: str, unit: str, ceiling: float, footprint: Footprint | str, figures: bool
) -> ContractCheck:
    expected = f"at most {ceiling:g} {unit}"
    if isinstance(footprint, str):
        return _check(name, False, expected, footprint)
    value = footprint.latency_ms if name == "latency" else footprint.memory_mb
    passed = value <= ceiling
    return _check(name, passed, expected, f"{value:.3g} {unit}" if figures or not passed else "kept")


def _compatible(new: ModelSchema, serving: ModelSchema | None) -> ContractCheck:
    expected = "what consumers of the serving version read and send is still there"
    if serving is None:
        return _check("compatibility", True, expected, "no version serves yet")
    broken = broken_promises(serving, new)
    more = f", and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    got = "; ".join(broken[:SHOWN]) + more if broken else "all of it"
    return _check("compatibility", not broken, expected, got)


def _check(name: str, passed: bool, expected: str, got: str) -> ContractCheck:
    return ContractCheck(name=name, between="model-orchestrator", passed=passed, expected=expected, got=got)
