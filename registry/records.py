"""Frozen values of this room. What a runtime answers, what a package promises, what MLflow holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
"""Registered names and aliases: they become folder and file names, so nothing else is let in."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One exact model: `digest` (64 hex digits, see packages.py) says which bytes."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one number of the request, or worked out from it, added to the log-odds of the answer."""

    name: str
    value: float
    added: float


@dataclass(frozen=True, slots=True)
class Deferred:
    """Where a learned deferral says how far an answer is to be trusted: the model's own confidence, and what
    lowered the trust in it most (in log-odds)."""

    plain: float
    lowered: tuple[Contribution, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a local model says of one request; `confidence` is in 0..1. `contributions`, largest first, are
    of kinds that can tell. `combined`: was a sender's own score weighed? None where the model cannot. With a
    learned deferral (`deferred`) `confidence` is its trust."""

    label: str
    confidence: float
    contributions: tuple[Contribution, ...] = ()
    combined: bool | None = None
    deferred: Deferred | None = None


_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class Relaxed(BaseModel):
    """A second rule with a weaker promise, for while the use case's cloud budget is short."""

    model_config = _STRICT

    threshold: float = Field(ge=0)
    max_error: float = Field(gt=0, lt=1)


class Combined(BaseModel):
    """The rules for answers into which a sender's own score went; each holds on its own."""

    model_config = _STRICT

    threshold: float = Field(ge=0)
    max_error: float = Field(gt=0, lt=1)
    by_label: Mapping[str, Relaxed] | None = None


class Acceptance(BaseModel):
    """When a local answer may be given: its confidence is `threshold` or more.

    With probability `confidence`, at most `max_error` of the answers so given are wrong; `method`
    cites the bound. A threshold above 1 accepts nothing. `relaxed` holds by the same method, on its own.
    `by_label` holds rules of their own for the answers with one label, where a mistake costs not the same.
    `combined` holds those for answers into which a sender's own score went (`runtimes/federated.py`).
    """

    model_config = _STRICT

    threshold: float = Field(ge=0)
    max_error: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    method: str = Field(min_length=1)
    relaxed: Relaxed | None = None
    by_label: Mapping[str, Relaxed] | None = None
    combined: Combined | None = None

    def rule_for(self, label: str, combined: bool | None = None) -> tuple[float, float]:
        """(threshold, max_error) that hold for an answer with this label. Without rules for combined ones,
        none is accepted."""
        if combined and self.combined is None:
            return 2.0, self.max_error
        rules = self.combined if combined and self.combined else self
        own = (rules.by_label or {}).get(label)
        return (own.threshold, own.max_error) if own else (rules.threshold, rules.max_error)

    def accepts(self, prediction: Prediction) -> bool:
        """Is this prediction sure enough to be the answer? NaN never is."""
        return prediction.confidence >= self.rule_for(prediction.label, prediction.combined)[0]


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version as MLflow holds it, for people to look at; not proof of anything."""

    ref: ModelRef
    aliases: tuple[str, ...]
    key_id: str
    use_case: str
    kind: str
    registered_at: str  # ISO 8601, UTC
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
