"""Does a version keep, on rows with known labels, what its acceptance rule promises? Pure.

A promise says that at most `max_error` of the answers it lets through are wrong. It is refuted where so many
wrong ones among those accepted would come about by chance too seldom: the upper tail of the binomial with
`max_error`, an exact test (Clopper and Pearson 1934). Few accepted rows refute little, as they should.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.records import Acceptance


@dataclass(frozen=True, slots=True)
class Promise:
    """Of the `accepted` answers with `label` (None: of labels without a rule of their own) `wrong` were."""

    label: str | None
    accepted: int
    wrong: int
    max_error: float

    @property
    def said(self) -> str:
        of = f" with '{self.label}'" if self.label else ""
        counts = f"{self.wrong} of {self.accepted} accepted answers{of} are wrong"
        return f"{counts}, promised is {self.max_error:.4g}"


def promises(
    rule: Acceptance, answers: Sequence[str], confidences: Sequence[float], right: Sequence[bool]
) -> tuple[Promise, ...]:
    """What the rule lets through of these answers, one promise for each label with a rule of its own."""
    counts: dict[str | None, list[int]] = {label: [0, 0] for label in (None, *(rule.by_label or {}))}
    for label, confidence, hit in zip(answers, confidences, right, strict=True):
        if confidence >= rule.rule_for(label)[0]:
            count = counts[label if label in counts else None]
            count[0] += 1
            count[1] += not hit
    return tuple(
        Promise(label, accepted, wrong, rule.max_error if label is None else rule.rule_for(label)[1])
        for label, (accepted, wrong) in counts.items()
    )


def refuted(promised: Sequence[Promise], confidence: float) -> tuple[Promise, ...]:
    """Those that do not hold; all together are refuted in error with at most 1 - `confidence`."""
    from scipy.special import bdtrc  # not at import; and scipy.stats would take ten times as long

    allowed = (1 - confidence) / max(1, len(promised))
    return tuple(p for p in promised if p.wrong and bdtrc(p.wrong - 1, p.accepted, p.max_error) < allowed)
