"""What a model's contributions mean, in words: the use case's own sentences, the strongest first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    from registry.records import Contribution, Deferred

MOST = 3
NOTHING = "no single fact speaks for it more than what is usual"
DEFERRING: Mapping[str, str] = {
    "log_odds": "its own confidence",
    "margin": "another label is nearly as likely",
    "second_margin": "another label is nearly as likely",
    "entropy": "many labels are likely",
    "nearest_agrees": "the nearest known message has another label",
    "agree_of_5": "{value:.0%} of the 5 nearest known messages have this label",
    "agree_of_15": "{value:.0%} of the 15 nearest known messages have this label",
    "agree_weighted": "{value:.0%} of the nearest known messages, by closeness, have this label",
    "nearest": "nothing known is near it (cosine {value:.2f})",
    "near_15": "little known is near it (cosine {value:.2f})",
    "nearest_same": "no known message of this label is near it (cosine {value:.2f})",
    "nearest_other": "a known message of another label is near it (cosine {value:.2f})",
    "gap": "known messages of another label are nearly as near",
    "tokens": "it has {value:.0f} tokens",
    "known_tokens": "{value:.0%} of its tokens are known",
    "rarest_token": "one of its words is rare",
    "usual_tokens": "its words are rare",
}
"""What lowered the trust of a learned deferral (`registry/runtimes/trust_features.py`)."""


def reason_sentences(usecase: UseCase, contributions: "Sequence[Contribution]") -> str:
    """The strongest numbers that spoke for the answer, joined by `and`; empty where a use case has
    no words for what its model looks at."""
    columns = usecase.features.columns if usecase.features else {}
    federated = usecase.local.federated if usecase.local else None
    told: list[str] = []
    worded = False
    for one in contributions:
        says = columns[one.name].says if one.name in columns else None
        if federated is not None and one.name == federated.score:
            says = federated.says
        elif one.name in usecase.input:  # a model without features sees the fields themselves
            says = f"{one.name} is {{value:g}}"
        worded = worded or says is not None
        if one.added > 0 and says is not None and len(told) < MOST:
            told.append(says.format(value=one.value))
    return "; and ".join(told) or (NOTHING if worded else "")


def weighed(score: str, combined: bool | None, fields: Mapping[str, object]) -> str:
    """What became of a sender's own score, where that is not plain; begins with a space."""
    if combined is False:
        return f" (decided without a {score}: none came)"
    if combined is None and fields.get(score) is not None:
        return f" (the {score} that came was not weighed: this model has not learned to)"
    return ""


def learned_from(deferred: "Deferred | None") -> str:
    """In brackets: the model's own confidence, and what made the learned deferral trust it less."""
    if deferred is None:
        return ""
    told = [_lowered(one) for one in deferred.lowered]
    because = f"; less, since {' and '.join(dict.fromkeys(told))}" if told else ""
    return f" (learned; the model's own is {deferred.plain:.2f}{because})"


def _lowered(one: "Contribution") -> str:
    return DEFERRING.get(one.name, f"of its {one.name.removeprefix('field.')}").format(value=one.value)
