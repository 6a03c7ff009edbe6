"""The local model: answers only where its calibrated threshold promises to be right often enough."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from feature_checks.usecase import UseCase
from services.errors import ConfigError, TargetFailed
from services.raised import Above, never_raised
from services.reason_sentences import learned_from, reason_sentences, weighed
from services.targets import Target
from services.targets.templates import Templates
from services.values import Answer, Declined, Envelope, Leaning

if TYPE_CHECKING:
    from registry.loading import LoadedModel  # with a remote model, no runtime need be imported here
    from registry.records import Contribution, Deferred

log = logging.getLogger(__name__)

SCORE_FIELD, WHY_FIELD = "score", "why"
"""A numeric output field `score` gets the model's confidence, a text field `why` its reasons in words."""

NO_FEATURES = (
    "its features could not be worked out for this request (see `features`); with them the local model "
    "would have been asked"
)
BROKEN_PROMISE = (
    "this model was calibrated for more wrong answers than the use case allows now; trained again, it would "
    "be asked"
)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model says of one request, with the threshold and digest of the very model that said it:
    models are replaced while requests run, and a threshold belongs to one model only. At most `max_error`
    of the answers from `threshold` on are wrong; `relaxed` is the same pair for while money is short."""

    label: str
    confidence: float
    threshold: float
    digest: str
    max_error: float | None = None
    relaxed: tuple[float, float] | None = None
    contributions: tuple["Contribution", ...] = ()
    combined: bool | None = None  # was a sender's own score weighed? None: this model cannot
    deferred: "Deferred | None" = None  # with a learned deferral `confidence` is its trust


Short = Callable[[Envelope], bool]
"""Is the money that cloud models may cost this tenant's use case nearly used up?"""


def never_short(envelope: Envelope) -> bool:
    return False


class LocalModel(Protocol):
    """A model in this process or behind a local service. Raises `TargetFailed` when it cannot answer."""

    async def predict(self, fields: Mapping[str, object]) -> Scored: ...


class InProcessModel:
    """A verified model in this process. `loaded` may be replaced while requests run."""

    def __init__(self, loaded: "LoadedModel") -> None:
        self.loaded = loaded

    async def predict(self, fields: Mapping[str, object]) -> Scored:
        loaded = self.loaded
        prediction = loaded.predictor.predict(fields)  # inline: it takes a third of a millisecond
        rule = loaded.acceptance
        relaxed = (rule.relaxed.threshold, rule.relaxed.max_error) if rule.relaxed else None
        threshold, max_error = rule.rule_for(prediction.label, prediction.combined)
        return Scored(
            prediction.label,
            prediction.confidence,
            threshold,
            loaded.ref.digest,
            max_error,
            relaxed,
            prediction.contributions,
            prediction.combined,
            prediction.deferred,
        )


class LocalTarget(Target):
    """Turns a prediction into the use case's output: the label, its approved texts, the score."""

    name = "local"

    def __init__(
        self,
        usecase: UseCase,
        model: LocalModel,
        templates: Templates,
        short: Short = never_short,
        above: Above = never_raised,
    ) -> None:
        self._short = short
        self._above = above
        self._risk = usecase.local.risk if usecase.local else None
        self._federated = usecase.local.federated if usecase.local else None
        self._model = model
        self.waits = not isinstance(model, InProcessModel)
        self._templates = templates
        self._label_field = usecase.label
        self._labels = frozenset(usecase.labels)
        self._score_field = SCORE_FIELD if _is_score(usecase) else None
        self._why_field = WHY_FIELD if WHY_FIELD in usecase.output else None
        filled = {usecase.label, *templates, self._score_field, self._why_field}
        if unfilled := [n for n, spec in usecase.output.items() if spec.required and n not in filled]:
            raise ConfigError(
                f"{usecase.name}/usecase.yaml: a local answer cannot fill output {', '.join(unfilled)}; "
                "give it a template file, or say `required: false`"
            )

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        fields: Mapping[str, object] | None = (
            envelope.fields if usecase.features is None else envelope.features
        )
        if fields is None:
            return Declined(NO_FEATURES)
        if self._federated and envelope.fields.get(self._federated.score) is not None:
            fields = {**fields, self._federated.score: envelope.fields[self._federated.score]}
        said = await self._predict(fields)
        if problem := self._broken_promise(said):
            return self._declined(problem, said)
        said = replace(said, threshold=max(said.threshold, self._above(said.digest)))
        because = reason_sentences(usecase, said.contributions)
        if self._federated:
            because = f"{because}{weighed(self._federated.score, said.combined, fields)}"
        sure = _sure_enough(said)
        if not said.confidence >= said.threshold:
            if said.relaxed is None or not self._short(envelope):
                return self._declined(_too_unsure(said), said, because)
            if not said.confidence >= said.relaxed[0]:
                return self._declined(_too_unsure(replace(said, threshold=said.relaxed[0])), said, because)
            sure = _sure_enough_when_short(said, said.relaxed)
        if said.label not in self._labels:
            raise TargetFailed("unknown_label", "the local model gave a label that is not the use case's")
        output: dict[str, object] = {self._label_field: said.label}
        for field, texts in self._templates.items():
            if said.label not in texts:
                return self._declined(f"there is no approved {field} for label '{said.label}'", said)
            output[field] = texts[said.label]
        if self._score_field:
            output[self._score_field] = said.confidence
        if self._why_field:
            output[self._why_field] = f"Decided by our own model: {because or sure}."
        return Answer(
            output, said.confidence, f"{sure}, since {because}" if because else sure, model=said.digest
        )

    def _declined(self, reason: str, said: Scored, because: str = "") -> Declined:
        if said.label not in self._labels:
            return Declined(reason, said.confidence, None, said.digest)
        leaning = Leaning(said.label, said.confidence, said.threshold, because)
        shown = f"{reason}; it leaned to {said.label}, since {because}" if because else reason
        return Declined(shown, said.confidence, said.label, said.digest, leaning)

    def _broken_promise(self, said: Scored) -> str | None:
        """A use case that asks for less risk than its model was calibrated for gets no answer from it."""
        if self._risk is None or said.max_error is None:
            return None
        if (own := self._risk.by_label.get(said.label)) is not None:
            return None if said.max_error <= own.max_error else BROKEN_PROMISE
        relaxed = said.relaxed[1] if said.relaxed else said.max_error
        allowed = self._risk.max_error_when_short or self._risk.max_error
        if said.max_error <= self._risk.max_error and relaxed <= allowed:
            return None
        return BROKEN_PROMISE

    async def _predict(self, fields: Mapping[str, object]) -> Scored:
        try:
            said = await self._model.predict(fields)
        except (TargetFailed, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  — runtimes raise what they like; its text may hold the input
            log.error("the local model broke: %s", type(error).__name__)
            message = f"the local model broke with {type(error).__name__}"
            raise TargetFailed("model_error", message) from None
        if not (math.isfinite(said.confidence) and 0.0 <= said.confidence <= 1.0 and said.threshold >= 0.0):
            raise TargetFailed("bad_score", "the local model gave a confidence that is no number from 0 to 1")
        return said


def _is_score(usecase: UseCase) -> bool:
    return SCORE_FIELD in usecase.output and usecase.output[SCORE_FIELD].type == "number"


def _sure_enough(said: Scored) -> str:
    shown = _digits(said.confidence, said.threshold)
    return f"confidence {shown}{learned_from(said.deferred)} is at least {said.threshold:.4g}"


def _sure_enough_when_short(said: Scored, relaxed: tuple[float, float]) -> str:
    threshold, max_error = relaxed
    return (
        f"confidence {_digits(said.confidence, threshold)}{learned_from(said.deferred)} is at least "
        f"{threshold:.4g}, enough while the "
        f"cloud budget is short (at most {max_error:.1%} wrong); with more budget {said.threshold:.4g} "
        "would be asked for"
    )


def _too_unsure(said: Scored) -> str:
    if said.threshold > 1:
        return "this model may answer nothing by itself: its risk promise could not be met"
    shown, bound = _digits(said.confidence, said.threshold), f"{said.threshold:.4g}"
    own = learned_from(said.deferred)
    return f"confidence {shown}{own} < {bound}; at {bound} the local answer would have been used"


def _digits(confidence: float, threshold: float) -> str:
    """Two decimals, or as many as it takes to tell the confidence from the threshold."""
    for decimals in (2, 4, 6):
        if round(confidence, decimals) != round(threshold, decimals):
            return f"{confidence:.{decimals}f}"
    return repr(confidence)
