"""What a caller says of a decision becomes ground truth, or is refused. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.errors import Contradiction, Expired, InputError

VERDICTS = ("correct", "label")


@dataclass(frozen=True, slots=True)
class Truth:
    """Was the answer right, and what would have been? `label` None: it was wrong, and nobody said how."""

    correct: bool
    label: str | None = None

    @property
    def verdict(self) -> dict[str, bool | str]:
        """As the journal keeps it."""
        return {"correct": self.correct} if self.label is None else {"label": self.label}


def read_truth(given: Mapping[str, Any], answered: object, allowed: Iterable[str]) -> Truth:
    """The truth that `given` (`correct` or `label`) states of a decision that answered with label `answered`.

    `allowed` are the labels of the use case; a label from no closed set would be free text, which must not
    reach a sink. Raises `InputError`.
    """
    said = [name for name in VERDICTS if given.get(name) is not None]
    if len(said) != 1:
        raise InputError("correct", "correct, label: expected exactly one of the two")
    if said == ["correct"]:
        correct = given["correct"]
        if not isinstance(correct, bool):
            raise InputError("correct", "correct: expected true or false")
        if answered is None:
            raise InputError("correct", "correct: nothing was answered that could be right; send `label`")
        known = answered if correct and isinstance(answered, str) else None
        return Truth(correct, known)
    label, labels = given["label"], tuple(allowed)
    if not labels:
        raise InputError("label", "label: this use case has no closed set of labels; send `correct`")
    if not isinstance(label, str) or label not in labels:
        raise InputError("label", f"label: expected one of the {len(labels)} labels of the use case")
    return Truth(label == answered, label)


def check_age(decided: datetime, now: datetime, max_days: int) -> None:
    """Raises `Expired` for a decision that is too old to be judged."""
    if now - decided > timedelta(days=max_days):
        raise Expired(f"feedback is taken for {max_days} days after a decision; this one is older than that")


def is_news(truth: Truth, before: Iterable[Truth]) -> bool:
    """Does this say more than what was said before? Raises `Contradiction` where it says otherwise."""
    news = True
    for earlier in before:
        labels = {earlier.label, truth.label} - {None}
        if earlier.correct != truth.correct or len(labels) > 1:
            raise Contradiction("other feedback says otherwise of this decision; what was said first stands")
        news = news and truth.label is not None and earlier.label is None
    return news
