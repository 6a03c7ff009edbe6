"""What a model's contributions mean, in words: the use case's own sentences, the strongest first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    from registry.records import Contribution

MOST = 3


def reason_sentences(usecase: UseCase, contributions: "Sequence[Contribution]") -> str:
    """The strongest numbers that spoke for the answer, joined by `and`; empty where there are none."""
    columns = usecase.features.columns if usecase.features else {}
    federated = usecase.local.federated if usecase.local else None
    told: list[str] = []
    for one in contributions:
        says = columns[one.name].says if one.name in columns else None
        if federated is not None and one.name == federated.score:
            says = federated.says
        if one.added > 0 and says is not None and len(told) < MOST:
            told.append(says.format(value=one.value))
    return "; and ".join(told)


def weighed(score: str, combined: bool | None, fields: Mapping[str, object]) -> str:
    """What became of a sender's own score, where that is not plain; begins with a space."""
    if combined is False:
        return f" (decided without a {score}: none came)"
    if combined is None and fields.get(score) is not None:
        return f" (the {score} that came was not weighed: this model has not learned to)"
    return ""
