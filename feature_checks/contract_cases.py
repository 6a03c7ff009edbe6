"""Cases that a team writes for its model and its endpoints: strict, and checked against the use case.

Behaviour is tested as in CheckList (Ribeiro et al. 2020, "Beyond accuracy: behavioral testing of NLP
models with CheckList"): *invariance*, where a change must not move the answer, and *directional*, where it
must move a label's probability one way. A pair is two whole inputs of the model (features, where the use
case has some), so that it works for any kind.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from feature_checks.errors import UseCaseError
from feature_checks.strict_model import Strict
from feature_checks.strict_yaml import explain, read_mapping
from feature_checks.usecase import UseCase

Fields = Annotated[Mapping[str, Any], Field(min_length=1)]
Outcome = Literal[
    "answered", "refused", "bad_json", "bad_schema", "truncated", "unfinished", "empty", "bad_response",
    "wrong_model", "http_400", "http_401", "http_404", "http_429", "http_500", "http_503",
]  # fmt: skip


class Pair(Strict):
    """One input, and the same changed."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Invariance(Strict):
    """The label stays. `at_least` is the share of pairs that must hold: all, unless the team says less."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9 -]{0,63}$")
    at_least: float = Field(default=1.0, gt=0, le=1)
    pairs: tuple[Pair, ...] = Field(min_length=1, strict=False)


class Directional(Invariance):
    """The probability of `label` moves up or down, by `by` at least."""

    label: str
    moves: Literal["up", "down"]
    by: float = Field(default=0.0, ge=0, lt=1)


class Cases(Strict):
    """`contract.cases` of a use case. `usual` is what a pair does not name."""

    usual: Mapping[str, Any] = Field(default_factory=dict)
    invariance: tuple[Invariance, ...] = Field(default=(), strict=False)
    directional: tuple[Directional, ...] = Field(default=(), strict=False)


class Recorded(Strict):
    """One answer of a cloud endpoint as it came, or as its documentation shows it: `input` is what was
    asked (redacted), `body` the response's JSON, `expect` what must come of it. No `endpoints`: all."""

    about: str = Field(min_length=1)
    model: str = Field(min_length=1)  # the name that was asked for
    endpoints: tuple[str, ...] = Field(default=(), strict=False)
    input: Fields
    status: int = Field(default=200, ge=200, le=599)
    body: Any
    expect: Outcome
    output: Mapping[str, Any] | None = None  # what the caller then gets, when `expect` is answered


def load_cases(usecase: UseCase) -> Cases:
    """The behaviour cases of a use case; none where it names no file. Raises `UseCaseError`."""
    if (name := usecase.contract.cases) is None:
        return Cases()
    shown = f"{usecase.root.name}/{name}"
    raw = read_mapping(usecase.path(name), shown)
    try:
        cases = Cases(**raw)
    except ValidationError as error:
        raise UseCaseError(f"{shown}: {explain(error, Cases)}") from None
    cases = _whole(cases)
    groups = (*cases.invariance, *cases.directional)
    names = [group.name for group in groups]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UseCaseError(f"{shown}: two groups are called '{twice[0]}'")
    for group in groups:
        for pair in group.pairs:
            for fields in (pair.before, pair.after):
                _check_seen(fields, usecase, f"{shown}: {group.name}")
    for group in cases.directional:
        if group.label not in usecase.labels:
            raise UseCaseError(f"{shown}: {group.name}: label: '{group.label}' is none of the use case's")
    return cases


def load_recorded(usecase: UseCase) -> dict[str, Recorded]:
    """File name -> recorded response, sorted; none where no folder is named. Raises `UseCaseError`."""
    if (name := usecase.contract.responses) is None:
        return {}
    folder = usecase.path(name)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UseCaseError(f"{usecase.root.name}/{name}: expected recorded responses (*.json), got none")
    return {file.name: _recorded(file.name, usecase, name) for file in files}


def _recorded(file: str, usecase: UseCase, folder: str) -> Recorded:
    shown = f"{usecase.root.name}/{folder}/{file}"
    try:
        raw = json.loads(usecase.path(f"{folder}/{file}").read_text(encoding="utf-8"))
        recorded = Recorded(**raw)
    except ValidationError as error:
        raise UseCaseError(f"{shown}: {explain(error, Recorded)}") from None
    except (OSError, ValueError, TypeError) as error:
        raise UseCaseError(f"{shown}: expected a JSON object in UTF-8 ({type(error).__name__})") from error
    _check_input(recorded.input, usecase, shown)
    known = usecase.cloud.endpoints if usecase.cloud else ()
    if foreign := sorted(set(recorded.endpoints) - set(known)):
        raise UseCaseError(f"{shown}: endpoints: '{foreign[0]}' is none of {', '.join(known) or 'none'}")
    return recorded


def _whole(cases: Cases) -> Cases:
    """The same, with `usual` in every pair."""

    def filled(group: Invariance) -> dict[str, Any]:
        pairs = tuple(
            Pair(before={**cases.usual, **pair.before}, after={**cases.usual, **pair.after})
            for pair in group.pairs
        )
        return {"pairs": pairs}

    return cases.model_copy(
        update={
            "invariance": tuple(group.model_copy(update=filled(group)) for group in cases.invariance),
            "directional": tuple(group.model_copy(update=filled(group)) for group in cases.directional),
        }
    )


def _check_seen(fields: Mapping[str, Any], usecase: UseCase, shown: str) -> None:
    """What the model sees: every feature, where there are features."""
    if usecase.features is None:
        return _check_input(fields, usecase, shown)
    for name in usecase.model_inputs:
        if name not in fields:
            raise UseCaseError(f"{shown}: feature '{name}' is missing; name it in the pair, or in `usual`")
    if unknown := sorted(set(fields) - set(usecase.model_inputs)):
        known = ", ".join(usecase.model_inputs)
        raise UseCaseError(f"{shown}: '{unknown[0]}' is no feature; features: {known}")
    return None


def _check_input(fields: Mapping[str, Any], usecase: UseCase, shown: str) -> None:
    if unknown := sorted(set(fields) - set(usecase.input)):
        known = ", ".join(usecase.input)
        raise UseCaseError(f"{shown}: '{unknown[0]}' is no input; inputs: {known}")
    required = {name for name, spec in usecase.input.items() if spec.required}
    if missing := sorted(required - set(fields)):
        raise UseCaseError(f"{shown}: input '{missing[0]}' is missing")
