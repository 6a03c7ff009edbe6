"""What a model's contributions mean, in words: the use case's own sentences, the strongest first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    from registry.records import Contribution

MOST = 3


def reason_sentences(usecase: UseCase, contributions: "Sequence[Contribution]") -> str:
    """The strongest numbers that spoke for the answer, joined by `and`; empty where there are none."""
    if usecase.features is None:
        return ""
    columns = usecase.features.columns
    told: list[str] = []
    for one in contributions:
        says = columns[one.name].says if one.name in columns else None
        if one.added > 0 and says is not None and len(told) < MOST:
            told.append(says.format(value=one.value))
    return "; and ".join(told)
