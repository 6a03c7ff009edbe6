"""What came of one request: the answer with its provenance, as journal and receipt will hold it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.privacy.hashing import canonical_json
from services.targets import Target
from services.values import Answer, AttemptRecord, VariantRecord


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that went out while it was written. `commit` is the hash of its `stream` record.

    `incomplete` says why it broke off, and `released` is what had gone out until then, redacted; both are
    None of one that came to its end.
    """

    commit: str
    incomplete: str | None = None
    released: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request's result in its redacted form. `route` and `output` are None when nothing answered.

    `cost_usd` is the sum over all attempts, failed ones included; None when any of them is unknown.
    `validators` are those that the given answer passed.
    """

    route: str | None
    output: Mapping[str, object] | None
    answer_digest: str | None  # SHA-256 of the redacted output
    confidence: float | None
    degraded: bool
    reasons: tuple[str, ...]
    attempts: tuple[AttemptRecord, ...]
    validators: tuple[str, ...]
    versions: Mapping[str, str]
    cost_usd: float | None
    stream: Streamed | None = None
    variants: tuple[VariantRecord, ...] = ()  # of the rollouts that its use case is in


@dataclass(frozen=True, slots=True)
class Given:
    """The answer that passed verification, the target that gave it, and the validators it passed."""

    answer: Answer
    target: Target
    validators: tuple[str, ...]


NOT_AS_PLANNED = frozenset({"failed", "denied", "skipped"})
"""Outcomes of an earlier attempt that make an answer a degraded one. A decline is routing at work."""


def synthesise(
    config_version: str,
    tried: Sequence[AttemptRecord],
    given: Given | None,
    stream: Streamed | None = None,
    variants: tuple[VariantRecord, ...] = (),
) -> Outcome:
    """Put together the outcome of `tried`, whose last attempt gave the answer if there is one."""
    attempts = tuple(tried)
    reasons = tuple(f"{attempt.target}: {attempt.reason}" for attempt in attempts)
    cost = _total([attempt.cost_usd for attempt in attempts])
    if given is None:
        versions = {"config": config_version}
        return Outcome(None, None, None, None, True, reasons, attempts, (), versions, cost, stream, variants)
    answer, target = given.answer, given.target
    versions = {"config": config_version, **target.versions, **answer.versions}
    if answer.model is not None:
        versions["model"] = answer.model
    degraded = target.degraded or any(attempt.outcome in NOT_AS_PLANNED for attempt in attempts)
    return Outcome(
        route=target.name,
        output=answer.output,
        answer_digest=answer_digest(answer.output),
        confidence=answer.confidence,
        degraded=degraded,
        reasons=reasons,
        attempts=attempts,
        validators=given.validators,
        versions=versions,
        cost_usd=cost,
        stream=stream,
        variants=variants,
    )


def answer_digest(output: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the canonical JSON of an answer's output fields."""
    return hashlib.sha256(canonical_json(dict(output))).hexdigest()


def _total(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
