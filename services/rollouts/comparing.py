"""What a shadow candidate said beside what was answered: agreement, likeness, validators, cost. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.synthesis import Outcome
from services.values import Answer, AttemptRecord, Declined, Envelope
from services.verify import Validator, verify

ALIKE = 0.8  # below it two texts count as different


@dataclass(frozen=True, slots=True)
class Compared:
    """One request. `likeness` is the smallest of all text fields, 0 to 1; None: nothing is to be compared."""

    agrees: bool
    likeness: float | None
    stable: Mapping[str, Any]
    candidate: Mapping[str, Any]


def compare(
    label: str,
    outcome: Outcome,
    mine: AttemptRecord,
    said: Answer | Declined | str,
    validators: tuple[Validator, ...],
    envelope: Envelope,
    own_text: bool,
) -> Compared:
    """`mine` is stable's attempt at the component, `said` the candidate's answer, or how it failed. `label`
    is the field in which two answers must be the same. Sides are as `RolloutCounts.compared` takes them."""
    answered = mine.outcome == "answered"
    stable = {
        "errors": mine.outcome == "failed",
        "validator_failures": mine.outcome == "refused",
        "fallbacks": not answered,
    }
    failed = isinstance(said, str)
    refused = isinstance(said, Answer) and (
        verify(validators, said.output, envelope, own_text=own_text) is not None
    )
    given = isinstance(said, Answer) and not refused
    candidate = {"errors": failed, "validator_failures": refused, "fallbacks": not given}
    if not (isinstance(said, Answer) and given and answered and outcome.output is not None):
        return Compared(given == answered and not failed, None, stable, candidate)
    agrees, likeness = same_answer(label, outcome.output, said.output, approved=True)
    return Compared(agrees, likeness, stable, candidate)


def compare_plans(
    label: str,
    outcome: Outcome,
    mine: Sequence[AttemptRecord],
    tried: Sequence[AttemptRecord],
    given: Answer | None,
    approved: bool,
) -> Compared:
    """The same of a whole plan, or of all that it asks of cloud models. `mine` is what stable tried of that,
    `tried` what the candidate did; `given` passed the candidate's validators. `approved`: both are texts that
    the team wrote, and not a model's."""
    answered = any(a.outcome == "answered" for a in mine)
    stable, candidate = (
        {
            "errors": any(a.outcome == "failed" for a in attempts),
            "validator_failures": any(a.outcome == "refused" for a in attempts),
            "fallbacks": not any(a.outcome == "answered" for a in attempts),
        }
        for attempts in (mine, tried)
    )
    if given is None or not answered or outcome.output is None:
        return Compared((given is not None) == answered, None, stable, candidate)
    agrees, likeness = same_answer(label, outcome.output, given.output, approved=approved)
    return Compared(agrees, likeness, stable, candidate)


def same_answer(
    label: str, one: Mapping[str, object], other: Mapping[str, object], *, approved: bool
) -> tuple[bool, float]:
    """Do two answers agree, and how alike are their texts? Two models never write the same words: of their
    texts the label alone must agree, and the likeness is told."""
    likeness = min(
        (
            text_likeness(value, str(other.get(name, "")))
            for name, value in one.items()
            if isinstance(value, str) and name != label
        ),
        default=1.0,
    )
    same = one.get(label) == other.get(label)
    return same and (likeness >= ALIKE or not approved), likeness


def text_likeness(one: str, other: str) -> float:
    """Cosine of the counts of character trigrams: 1 for the same text, 0 where nothing is shared."""
    first, second = _trigrams(one), _trigrams(other)
    if not first or not second:
        return 1.0 if first == second else 0.0
    shared = sum(count * second[gram] for gram, count in first.items())
    return shared / math.sqrt(sum(c * c for c in first.values()) * sum(c * c for c in second.values()))


def _trigrams(text: str) -> Counter[str]:
    padded = f"  {' '.join(text.lower().split())} " if text.strip() else ""
    return Counter(padded[i : i + 3] for i in range(len(padded) - 2))
