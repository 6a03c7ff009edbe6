"""Which decisions may teach the local model, with which label, and how sure that is. Pure.

| answered by | said of it by people | what it teaches |
|---|---|---|
| local | nothing | nothing: a model must not learn from itself |
| local | the label that it gave | that label, weak: whoever confirms has seen the answer |
| local | another label | that label |
| cloud | nothing | its label, weak, if the use case allows `cloud_labels` |
| any other | a label | that label |

People must agree as often as `review.agreement` asks; where they differ, nothing is learned, and the
decision is listed for review. What was said in the review of a quarantined row settles it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from feature_checks.usecase import UseCase

Key = tuple[str, str]
"""Tenant and decision id: what another tenant says of a decision is not said of it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One person's word on one decision; `label` None: it was wrong, and nobody said what is right.
    `settles`: it was said in the review of a quarantined row, and counts instead of all other words."""

    source: str
    at: str
    label: str | None
    settles: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """One journalled decision, redacted. `at` is ISO 8601, UTC."""

    id: str
    tenant: str
    at: str
    fields: Mapping[str, Any] = field(repr=False)
    tags: frozenset[str]
    purpose: str
    route: str
    answered: str | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """One row that may be learned from."""

    decision: Decided
    label: str
    source: str  # the key that said so, or `cloud`
    weak: bool
    at: str  # when it was said
    expires_at: str | None
    settled: bool = False  # people looked at it because it was suspect


@dataclass(frozen=True, slots=True)
class Learned:
    """The lessons, what was left out by reason, and the decisions on which people differ."""

    lessons: tuple[Lesson, ...]
    left_out: Mapping[str, int]
    disputed: tuple[Decided, ...]


def lessons(
    usecase: UseCase,
    decisions: Iterable[Decided],
    said: Mapping[Key, Sequence[Said]],
    now: datetime,
    keep_days: int | None = None,
) -> Learned:
    """Apply consent, tags, age, retention and agreement. `said` is in the order of time; `keep_days` holds
    where the use case has no `retention:`."""
    found: list[Lesson] = []
    left_out: Counter[str] = Counter()
    disputed: list[Decided] = []
    for decision in decisions:
        words = said.get((decision.tenant, decision.id), ())
        words = [word for word in words if word.settles] or words
        taken = _taught(usecase, decision, words, now, keep_days)
        if isinstance(taken, Lesson):
            found.append(taken)
            continue
        left_out[taken] += 1
        if taken == DISPUTED:
            disputed.append(decision)
    return Learned(tuple(found), dict(left_out), tuple(disputed))


DISPUTED = "people differ on its label"


def _taught(
    usecase: UseCase, decision: Decided, words: Sequence[Said], now: datetime, keep_days: int | None
) -> Lesson | str:
    spec = usecase.learning
    if spec is None or decision.purpose not in spec.purposes:
        return "no consent: its purpose is not one that may be learned from"
    if decision.tags & set(spec.never_tags):
        return "it carries a tag that is never learned from"
    made = datetime.fromisoformat(decision.at)
    if made + timedelta(days=spec.max_age_days) <= now:
        return "older than max_age_days"
    expires = expiry(usecase, decision, keep_days)
    if expires is not None and expires <= now:
        return "its retention is over"
    label, who, weak = _label(decision, words, usecase.review.agreement, spec.cloud_labels)
    if label is None:
        return who
    if label not in usecase.labels:
        return "its label is not one that the local model may learn"
    if set(decision.fields) - set(usecase.input):
        return "its fields are not those of the use case now"
    at = max((word.at for word in words), default=decision.at)
    settled = any(word.settles for word in words)
    return Lesson(decision, label, who, weak, at, expires.isoformat() if expires else None, settled)


def _label(
    decision: Decided, words: Sequence[Said], agreement: int, cloud_labels: bool
) -> tuple[str | None, str, bool]:
    """(label, who said so, weak), or (None, why not, False)."""
    from_cloud = decision.route.startswith("cloud/")
    if not words:
        if decision.route == "local":
            return None, "only the model itself said so", False
        if from_cloud and cloud_labels and decision.answered is not None:
            return decision.answered, "cloud", True
        return None, "nobody said what is right", False
    newest = {word.source: word for word in words}.values()
    votes = Counter(word.label for word in newest if word.label)
    if not votes:
        return None, "it was wrong, and nobody said what is right", False
    (label, most), *others = votes.most_common()
    wrong = sum(word.label is None for word in newest) if label == decision.answered else 0
    if wrong >= most or (others and others[0][1] == most):
        return None, DISPUTED, False
    if most < agreement:
        return None, "fewer people than review.agreement asks for said so", False
    source = min(word.source for word in words if word.label == label)
    return label, source, decision.route == "local" and label == decision.answered


def expiry(usecase: UseCase, decision: Decided, keep_days: int | None) -> datetime | None:
    """When its contents must be gone. The shortest time of all the tags counts, as in the journal."""
    rule = usecase.retention
    days = [n for tag, n in rule.by_tag.items() if tag in decision.tags] if rule else []
    default = rule.default_days if rule else keep_days
    if default is not None:
        days.append(default)
    return datetime.fromisoformat(decision.at) + timedelta(days=min(days)) if days else None
