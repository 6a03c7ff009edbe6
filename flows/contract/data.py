"""Between data and model: what goes in, what must come out of it, and how the model must behave."""

import math
from collections.abc import Callable, Iterator, Mapping

from feature_checks.contract_cases import Cases, Directional, Invariance, Pair
from feature_checks.usecase import UseCase
from flows.contract.extremes import inside, outside
from flows.contract.subject import Subject
from registry.contract_tests import ContractCheck
from registry.runtimes import Predictor

SUM_TOLERANCE = 1e-3


def data_checks(subject: Subject, usecase: UseCase, cases: Cases) -> Iterator[ContractCheck]:
    """All checks of this contract, in a fixed order."""
    yield _inputs(subject, usecase)
    yield _labels(subject, usecase)
    yield _data_check(subject)
    yield _outputs(subject)
    yield _parity(subject, usecase)
    yield _inside(subject, usecase)
    yield _outside(subject, usecase)
    for group in cases.invariance:
        yield _behaviour(f"invariance: {group.name}", group, "the label stays", _stays(subject.predictor))
    for directed in cases.directional:
        yield _directional(directed, subject.predictor)


def _inputs(subject: Subject, usecase: UseCase) -> ContractCheck:
    unknown = sorted(set(subject.inputs) - set(usecase.model_inputs))
    got = f"'{unknown[0]}' is none" if unknown else ", ".join(subject.inputs)
    return _check(
        "input schema", not unknown, f"inputs of the use case: {', '.join(usecase.model_inputs)}", got
    )


def _labels(subject: Subject, usecase: UseCase) -> ContractCheck:
    labels = subject.predictor.labels
    unknown = sorted(set(labels) - set(usecase.labels))
    got = f"'{unknown[0]}', which is none" if unknown else f"{len(labels)} of them"
    return _check("label set", not unknown, f"labels among the use case's {len(usecase.labels)}", got)


def _data_check(subject: Subject) -> ContractCheck:
    found = subject.data_check
    passed = found is not None and found.get("passed") is True
    said = "passed" if passed else "FAILED"
    got = "no report" if found is None else f"{found.get('checks')} checks, {said}"
    return _check("feature contract", passed, "the training data passed its feature contract", got)


def _outputs(subject: Subject) -> ContractCheck:
    """Of real rows: (n, k) probabilities, each finite, from 0 to 1, each row with sum 1."""
    import numpy as np

    found = np.asarray(subject.predictor.probabilities(subject.rows), dtype=np.float64)
    shape = (len(subject.rows), len(subject.predictor.labels))
    expected = f"a probability for each of {shape[1]} labels, with sum 1, of {shape[0]} rows"
    if found.shape != shape:
        return _check("output schema", False, expected, f"shape {found.shape}")
    bad = ~np.isfinite(found).all(axis=1) | (found < 0).any(axis=1) | (found > 1 + SUM_TOLERANCE).any(axis=1)
    bad |= ~(np.abs(found.sum(axis=1) - 1) <= SUM_TOLERANCE)
    got = f"{int(bad.sum())} rows without" if bad.any() else "that"
    return _check("output schema", not bad.any(), expected, got)


def _parity(subject: Subject, usecase: UseCase) -> ContractCheck:
    found, limit = subject.parity, usecase.contract.parity
    difference = float(found["max_abs_difference"]) if found else math.nan
    got = f"{difference:.2g} on {found['rows']} rows" if found else "no report"
    return _check(
        "parity", difference <= limit, f"exported and trained model differ by at most {limit:g}", got
    )


def _inside(subject: Subject, usecase: UseCase) -> ContractCheck:
    """Extremes that the feature contract allows: each must be answered."""
    rows = inside(usecase)
    wrong = [why for row in rows if (why := _wrong(subject.predictor, row, may_refuse=False))]
    got = f"{len(wrong)} not: {wrong[0]}" if wrong else "all of them"
    return _check("extreme inputs", not wrong, f"an answer to each of {len(rows)} extremes it allows", got)


def _outside(subject: Subject, usecase: UseCase) -> ContractCheck:
    """NaN, infinity, missing and wrong types: a valid answer or none, never NaN or a label of nowhere."""
    rows = outside(usecase)
    wrong = [why for row in rows if (why := _wrong(subject.predictor, row, may_refuse=True))]
    got = f"{len(wrong)} of them: {wrong[0]}" if wrong else "none of them"
    expected = f"no invalid answer to any of {len(rows)} inputs with NaN, infinity, null or a wrong type"
    return _check("NaN and wrong types", not wrong, expected, got)


def _wrong(predictor: Predictor, row: Mapping[str, object], may_refuse: bool) -> str | None:
    try:
        said = predictor.predict(row)
    except Exception as error:  # noqa: BLE001  — runtimes raise what they like
        return None if may_refuse else f"it raised {type(error).__name__}"
    if said.label not in predictor.labels:
        return "a label that it does not know"
    if not (math.isfinite(said.confidence) and 0 <= said.confidence <= 1 + SUM_TOLERANCE):
        return "a confidence that is no number from 0 to 1"
    return None


def _stays(predictor: Predictor) -> Callable[[Pair], bool]:
    def holds(pair: Pair) -> bool:
        return predictor.predict(pair.before).label == predictor.predict(pair.after).label

    return holds


def _directional(group: Directional, predictor: Predictor) -> ContractCheck:
    expected = f"the probability of '{group.label}' goes {group.moves}"
    if group.label not in predictor.labels:
        return _check(f"directional: {group.name}", False, expected, "the model does not know this label")
    at = predictor.labels.index(group.label)
    sign = 1 if group.moves == "up" else -1

    def holds(pair: Pair) -> bool:
        before, after = predictor.probabilities([pair.before, pair.after])[:, at]
        return bool(sign * (float(after) - float(before)) > group.by)

    return _behaviour(f"directional: {group.name}", group, expected, holds)


def _behaviour(name: str, group: Invariance, what: str, holds: Callable[[Pair], bool]) -> ContractCheck:
    kept = sum(_held(holds, pair) for pair in group.pairs)
    pairs = len(group.pairs)
    share = f"all {pairs}" if group.at_least == 1 else f"{group.at_least:.0%} of {pairs}"
    passed = kept >= group.at_least * pairs
    return _check(name, passed, f"{what} in {share} pairs", f"in {kept}")


def _held(holds: Callable[[Pair], bool], pair: Pair) -> bool:
    try:
        return holds(pair)
    except Exception:  # noqa: BLE001  — runtimes raise what they like: then it does not hold
        return False


def _check(name: str, passed: bool, expected: str, got: str) -> ContractCheck:
    return ContractCheck(name=name, between="data-model", passed=passed, expected=expected, got=got)
