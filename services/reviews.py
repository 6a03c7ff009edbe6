"""Which decisions a person should look at, and which first. Pure: response and queue ask the same rule.

The random sample is drawn by a keyed hash of the decision's id: nobody without the key can foresee or steer
it, it does not depend on what was asked or answered, and asked again it says the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from feature_checks.review_spec import ReviewSpec
from feature_checks.usecase import UseCase
from services.evidence.retention import rule_of
from services.privacy.hashing import keyed_hash
from services.synthesis import Outcome
from services.values import Envelope

SAMPLED, VALIDATOR_FAILED, LOW_CONFIDENCE = "random_sample", "validator_failed", "low_confidence"
LEFT_OPEN = "left_open"
SHADOW_DISAGREEMENT = "shadow_disagreement"
QUARANTINED = "quarantined"
"""Curation holds its label back: whoever reviews it settles what is learned."""
RANKS: Mapping[str, int] = {SAMPLED: 8, VALIDATOR_FAILED: 4, LOW_CONFIDENCE: 2, LEFT_OPEN: 5,
                             SHADOW_DISAGREEMENT: 1, QUARANTINED: 3}  # fmt: skip
"""The sample comes first, whatever else holds: if its unsure ones were reviewed sooner than its sure ones,
the reviewed part of it would no longer be random."""
UNANSWERED = 1
"""What it adds that no target but the safe default, or none at all, had an answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A review that should be made: its id, why, and how much it is worth. `rate` is that of the sample."""

    id: str
    why: tuple[str, ...]
    rank: int
    rate: float

    @property
    def sampled(self) -> bool:
        return SAMPLED in self.why


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One decision for the queue, in its redacted form. Times are ISO 8601, UTC."""

    wanted: Wanted
    decision_id: str
    tenant: str
    use_case: str
    fields: str = field(repr=False)  # JSON
    output: str = field(repr=False)  # JSON, `null` where nothing answered
    route: str
    answered: str | None  # the label that was answered
    agreement: int  # so many reviewers must say the same
    at: str
    expires_at: str | None  # retention: then the contents must be gone


def wanted(
    spec: ReviewSpec, envelope: Envelope, outcome: Outcome, key: bytes, left_open: bool = False
) -> Wanted | None:
    """Why this decision is to be reviewed, or None. The same redacted request is one review."""
    why: tuple[str, ...] = tuple(reason for reason in spec.when if _holds(reason, outcome, left_open))
    if in_sample(key, envelope.id, spec.sample_rate):
        why = (SAMPLED, *why)
    if not why or spec.max_queue == 0:
        return None
    unanswered = UNANSWERED if outcome.route in (None, "safe_default") else 0
    rank = RANKS[SAMPLED] if SAMPLED in why else max(RANKS[reason] for reason in why) + unanswered
    same = json.dumps([envelope.use_case, envelope.digest])
    return Wanted(keyed_hash(key, "review", envelope.tenant, same), why, rank, spec.sample_rate)


def wanted_of_shadow(
    spec: ReviewSpec, envelope: Envelope, outcome: Outcome, key: bytes, left_open: bool = False
) -> Wanted | None:
    """A review of a decision with which a candidate in shadow disagreed; None where it is reviewed anyway."""
    if spec.max_queue == 0 or wanted(spec, envelope, outcome, key, left_open) is not None:
        return None
    same = keyed_hash(key, "review", envelope.tenant, json.dumps([envelope.use_case, envelope.digest]))
    return Wanted(same, (SHADOW_DISAGREEMENT,), RANKS[SHADOW_DISAGREEMENT], spec.sample_rate)


def in_sample(key: bytes, decision_id: str, rate: float) -> bool:
    """Is this decision in the random sample of that rate (0 to 1)?"""
    drawn = int(keyed_hash(key, "sample", "", decision_id).removeprefix("sample_"), 16)
    return drawn < rate * 2**128


def review_item(
    found: Wanted,
    usecase: UseCase,
    envelope: Envelope,
    outcome: Outcome,
    now: datetime,
    keep_days: int | None,
) -> ReviewItem:
    """What the queue keeps of the decision. `keep_days` holds where the use case has no retention."""
    output = None if outcome.output is None else dict(outcome.output)
    answered = (output or {}).get(usecase.label)
    limit = rule_of(usecase.retention, keep_days).limit(envelope.tags)
    return ReviewItem(
        wanted=found,
        decision_id=envelope.id,
        tenant=envelope.tenant,
        use_case=usecase.name,
        fields=json.dumps(dict(envelope.fields)),
        output=json.dumps(output),
        route=outcome.route or "none",
        answered=answered if isinstance(answered, str) else None,
        agreement=usecase.review.agreement,
        at=now.isoformat(),
        expires_at=(now + timedelta(days=limit[0])).isoformat() if limit else None,
    )


def is_left_open(usecase: UseCase, outcome: Outcome) -> bool:
    """Does the answer itself leave the decision to a person?"""
    outside = usecase.local.outside if usecase.local else None
    return outside is not None and (outcome.output or {}).get(usecase.label) == outside


def _holds(reason: str, outcome: Outcome, left_open: bool) -> bool:
    if reason == LEFT_OPEN:
        return left_open
    if reason == VALIDATOR_FAILED:
        return any(attempt.outcome == "refused" for attempt in outcome.attempts)
    return any(a.target == "local" and a.outcome == "declined" for a in outcome.attempts)
