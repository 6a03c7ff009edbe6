"""The use case's own rules: fixed answers where no model should be asked. They see what is redacted."""

import logging
from collections.abc import Mapping

from feature_checks.usecase import UseCase
from services.errors import TargetFailed
from services.targets import Target
from services.targets.rule_graph import RuleGraph
from services.values import Answer, Declined, Envelope

log = logging.getLogger(__name__)

NO_MATCH = Declined("no rule matched")


class RulesTarget(Target):
    """Answers with what the decision graph gives: {"answer": {output fields}, "reason": text}."""

    name = "rules"
    waits = False
    no_match = NO_MATCH

    def __init__(self, graph: RuleGraph) -> None:
        self._graph = graph

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        try:
            result = self._graph.evaluate(
                envelope.fields, sorted(envelope.tags), envelope.features or {}, self._beside(envelope)
            )
        except Exception as error:  # noqa: BLE001  — the engine raises bare Exception; its text may hold the input
            log.error("the rules engine failed: %s", type(error).__name__)
            raise TargetFailed("rules_error", "the rules could not be evaluated on this request") from None
        answer = result.get("answer") if isinstance(result, dict) else None
        if answer is None:
            return self.no_match
        if not isinstance(answer, dict):
            raise TargetFailed("bad_rule", "a rule matched, but its answer is not a set of output fields")
        reason = result.get("reason")
        said = f"a rule matched: {reason}" if isinstance(reason, str) else "a rule matched"
        return Answer(answer, reason=said)

    def _beside(self, envelope: Envelope) -> Mapping[str, object]:
        """What the graph sees beside fields, tags and features."""
        return {}
