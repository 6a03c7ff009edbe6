"""Frozen values that travel down the pipeline, in the order in which they appear.

Only `Call` and the vault beside an `Envelope` ever hold raw personal data. Every sink (journal,
log, trace, cache, prompt, review queue) takes an `Envelope` or what was made from one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from feature_checks.usecase import UseCase


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the API key says."""

    tenant: str
    key_id: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Context:
    """What the caller said about the request. `subject` and `session` are raw until `Envelope`."""

    subject: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    residency: str | None = None
    purpose: str = "service"
    max_latency_ms: int | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a caller demands of the answer itself. `problem` takes the output as the caller would read it,
    and says why it will not do, without quoting it. `own_text`: approved texts are held to it too."""

    name: str
    problem: Callable[[Mapping[str, object]], str | None] = field(repr=False)
    own_text: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One parsed and authenticated call. Raw: nothing after `privacy` may take it."""

    id: str
    usecase: UseCase
    caller: Caller
    fields: Mapping[str, object] = field(repr=False)
    context: Context
    deadline: float  # time.monotonic() seconds; every later step respects it
    expects: tuple[Expectation, ...] = ()
    forced: Mapping[str, str] = field(default_factory=dict)  # component -> variant, an operator's wish


@dataclass(frozen=True, slots=True)
class Leaning:
    """What the local model would have said had it been sure enough. `because` are its reasons in words."""

    label: str
    confidence: float
    threshold: float
    because: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verified answer of a cloud model that final rules have yet to weigh: plan step `merge`."""

    target: str
    output: Mapping[str, object]
    model: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The redacted request: the only form of it that a target or a sink may see.

    `fields` hold placeholders such as <CARD_1> where personal data was; `tags` say what kinds of
    data the request carries (field tags and what was detected); `digest` is the SHA-256 of the
    canonical JSON of use case and redacted fields; `subject` is a keyed hash, never the original.
    """

    id: str
    use_case: str
    tenant: str
    fields: Mapping[str, object]
    tags: frozenset[str]
    digest: str
    subject: str | None = None
    session: str | None = None
    residency: str | None = None
    purpose: str = "service"
    max_cost_usd: float | None = None  # what the caller wants this request to cost at most
    placeholders: frozenset[str] = frozenset()
    features: Mapping[str, float] | None = None  # None: not declared, or not to be had for this request
    aliases: Mapping[str, str] = field(default_factory=dict)  # field -> keyed pseudonym, where it leaves
    leaning: Leaning | None = None  # of the local model, once it was asked and was not sure enough
    opinion: Opinion | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the access policy says of one hop. `policy_ids` are those that decided."""

    allowed: bool
    policy_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedAttempt:
    """One target that the plan will try, and why it stands where it stands."""

    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """The ordered attempts, and what was left out with its reason."""

    attempts: tuple[PlannedAttempt, ...]
    left_out: tuple["AttemptRecord", ...] = ()  # outcome denied (with policy ids) or skipped


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target says. `output` has the use case's output fields, still redacted."""

    output: Mapping[str, object]
    confidence: float | None = None
    reason: str = ""
    cost_usd: float | None = 0.0  # None: it cost something, and nobody knows how much
    model: str | None = None  # digest of a local model, or the cloud model's name
    usage: Mapping[str, int] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)  # of what it was made from, beside its target's


@dataclass(frozen=True, slots=True)
class Declined:
    """A target works, and does not answer this one: say why, and what would have changed it."""

    reason: str
    confidence: float | None = None
    label: str | None = None  # what it would have said; one of the use case's labels
    model: str | None = None  # digest of the local model that would have
    leaning: Leaning | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt as it happened; goes into reasons, journal and receipt. `confidence` and `label` are a
    local model's, used or not: what another threshold would have done can be said from them."""

    target: str
    outcome: (
        str  # answered | declined | denied | failed | noted | overtaken | refused (by a validator) | skipped
    )
    reason: str
    policy_ids: tuple[str, ...] = ()
    latency_ms: float = 0.0
    cost_usd: float | None = 0.0  # None: unknown
    model: str | None = None
    confidence: float | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """Which side of a rollout this request was on; goes into journal and receipt.

    `step` names the rollout's step as its numbers do; `why` is a `variants.Why`. `failed` says how a
    candidate failed so that stable had to answer in its place.
    """

    component: str
    rollout: str
    step: str
    variant: str
    version: str
    why: str
    failed: str | None = None
    how: str | None = None  # a `targets.variant.How`: what `failed` counts as

    @property
    def plain(self) -> dict[str, str | None]:
        """As journal and receipt have it."""
        return {
            "component": self.component, "rollout": self.rollout, "step": self.step,
            "variant": str(self.variant), "version": self.version, "why": str(self.why),
            "failed": self.failed,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one call: as journalled (redacted) and, for its caller alone, re-identified."""

    id: str
    use_case: str
    output: Mapping[str, object] = field(repr=False)
    route: str
    confidence: float | None
    degraded: bool
    reasons: tuple[str, ...]
    review_id: str | None
    versions: Mapping[str, str]
    receipt: str
    redacted: Mapping[str, object] = field(default_factory=dict)  # `output` as journalled
