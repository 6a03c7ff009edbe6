"""Final rules: they see what the local model leaned to and what a cloud model thought, and decide by both.

In a plan with `merge` the cloud's verified answer is an opinion and no decision. Where these rules give no
answer, or nothing gave them an opinion to weigh and they name no answer for that, the plan goes on.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace

from feature_checks.usecase import UseCase
from services.targets.rules import RulesTarget
from services.values import Answer, Declined, Envelope

NAME, FILE = "merge", "merge.json"


class MergeTarget(RulesTarget):
    """`merge.json`, a decision graph that sees `fields`, `tags`, `features`, `leaning` ({label, confidence,
    threshold, because} or null), `opinion` (the output fields or null) and `opinion_of` (a target or null).

    Its answer may repeat what a model wrote, so that it is verified as a model's own.
    """

    name = NAME
    own_text = False
    no_match = Declined("none of the final rules matched")

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        answer = await super().answer(envelope, usecase, deadline)
        if isinstance(answer, Declined) or envelope.opinion is None:
            return answer
        return replace(answer, model=envelope.opinion.model, versions=envelope.opinion.versions)

    def _beside(self, envelope: Envelope) -> Mapping[str, object]:
        said, opinion = envelope.leaning, envelope.opinion
        return {
            "leaning": asdict(said) if said else None,
            "opinion": dict(opinion.output) if opinion else None,
            "opinion_of": opinion.target if opinion else None,
        }
