"""One request, from top to bottom: seal, plan, attempt and verify, synthesise, record, receipt, answer."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from services.attempts import attempt_in_order
from services.errors import DemandUnmet, NotFound, NothingMayAnswer, StreamBroken
from services.explain import explained
from services.flow import Flow, Outlet
from services.journal import Journal
from services.plan import make_plan
from services.prepared import PreparedUseCase
from services.privacy.detect import Detector
from services.privacy.envelope import seal
from services.privacy.reidentify import reidentify
from services.receipts import Receipts
from services.reviews import is_left_open, wanted
from services.rollouts.divider import Divider
from services.synthesis import Outcome, synthesise
from services.values import AttemptRecord, Call, Decision, Envelope, RoutePlan
from services.verify.demands import Demands

log = logging.getLogger(__name__)

Observer = Callable[[Envelope, Outcome], None]
"""Told of each recorded request, off the response path: metrics, review queue, shadow. All redacted."""


class Pipeline:
    """Answers calls. `serve` may replace the use cases while it runs: each request is answered by one."""

    def __init__(
        self,
        use_cases: Mapping[str, PreparedUseCase],
        *,
        detector: Detector,
        journal: Journal,
        receipts: Receipts,
        hash_key: bytes,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.use_cases = use_cases
        self.dividers: Mapping[str, Divider] = {}  # of use cases with a rollout or a killed target
        self._before: Mapping[str, PreparedUseCase] = {}
        self._detector = detector
        self._journal = journal
        self._receipts = receipts
        self._hash_key = hash_key
        self._observers = tuple(observers)

    def serve(self, use_cases: Mapping[str, PreparedUseCase]) -> None:
        """From now on these; calls that were read before are still answered by what they were read for."""
        self._before, self.use_cases = self.use_cases, use_cases

    async def decide(self, call: Call, outlet: Outlet | None = None) -> Decision:
        """The answer to one call. With `outlet`, text of it may go out before the whole is there.

        Raises `InputError`, `NotFound`, `NothingMayAnswer`, `DemandUnmet`, `JournalUnavailable`; once text
        went out `StreamBroken` instead of any other answer.
        """
        prepared = self._prepared(call)
        divider = self.dividers.get(prepared.usecase.name)
        divided = divider.divide(prepared, call) if divider else None
        prepared = divided.prepared if divided else prepared
        envelope, vault = seal(call, self._detector, self._hash_key, prepared.vocabulary)
        noted: list[AttemptRecord] = []
        if prepared.features is not None:
            envelope, noted = await prepared.features.enrich(envelope)
        demands = Demands(call.expects, lambda output: reidentify(output, vault, envelope))
        prepared = prepared.demanding(demands.validators)
        plan = _plan(prepared, envelope)
        flow = Flow(prepared, envelope, vault, self._journal, outlet) if outlet else None
        tried, given = await attempt_in_order(prepared, plan, envelope, call.deadline, flow)
        tried = [*noted, *explained(prepared, plan, envelope, tried)]
        stream = flow.ended(None if given else tried[-1].reason) if flow else None
        variants = divided.records() if divided else ()
        outcome = synthesise(prepared.usecase.version, tried, given, stream, variants)
        appended = await self._journal.append(envelope, outcome)
        self._tell_observers(envelope, outcome)
        left_open = is_left_open(prepared.usecase, outcome)
        review = wanted(prepared.usecase.review, envelope, outcome, self._hash_key, left_open)
        if stream and stream.incomplete:
            message = f"broke off: {stream.incomplete}; what was sent until then is not an answer"
            raise StreamBroken(message, outcome.reasons)
        if outcome.route is None and demands.unmet:
            message = f"{demands.unmet}: no answer of this use case meets it; ask for less, or leave it out"
            raise DemandUnmet(message, outcome.reasons)
        if outcome.route is None or outcome.output is None:
            raise NothingMayAnswer("nothing may answer this request just now", outcome.reasons)
        return Decision(
            id=envelope.id,
            use_case=envelope.use_case,
            output=reidentify(outcome.output, vault, envelope),
            route=outcome.route,
            confidence=outcome.confidence,
            degraded=outcome.degraded,
            reasons=outcome.reasons,
            review_id=review.id if review else None,
            versions=outcome.versions,
            receipt=self._receipts.issue(envelope, outcome, appended),
            redacted=outcome.output,
        )

    def reveal(self, call: Call, redacted: Mapping[str, object]) -> Mapping[str, object]:
        """A kept answer to this very call, re-identified: the same content has the same placeholders."""
        vocabulary = self._prepared(call).vocabulary
        envelope, vault = seal(call, self._detector, self._hash_key, vocabulary)
        revealed: Mapping[str, object] = reidentify(redacted, vault, envelope)
        return revealed

    def _prepared(self, call: Call) -> PreparedUseCase:
        """The very version that the call was read for, which a change may have replaced just now."""
        name = call.usecase.name
        for served in (self.use_cases, self._before):
            if name in served and served[name].usecase is call.usecase:
                return served[name]
        try:
            return self.use_cases[name]
        except KeyError:
            known = ", ".join(sorted(self.use_cases)) or "none"
            raise NotFound(f"no such use case is served here; known: {known}") from None

    def _tell_observers(self, envelope: Envelope, outcome: Outcome) -> None:
        if self._observers:
            asyncio.get_running_loop().call_soon(_observe, self._observers, envelope, outcome)


def _plan(prepared: PreparedUseCase, envelope: Envelope) -> RoutePlan:
    return make_plan(
        prepared.order,
        prepared.targets,
        prepared.missing,
        permits=lambda target: prepared.permits(target, envelope),
        closed=lambda name: prepared.closed(name, envelope),
    )


def _observe(observers: Sequence[Observer], envelope: Envelope, outcome: Outcome) -> None:
    for observer in observers:
        try:
            observer(envelope, outcome)
        except Exception as error:  # noqa: BLE001  — watching a request must never break one
            log.error("observer %r failed: %s", observer, type(error).__name__)
