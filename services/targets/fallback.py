"""The last rung: the use case's safe default. It needs nothing and always answers."""

from feature_checks.usecase import UseCase
from services.targets import Target
from services.values import Answer, Envelope

_SAID = "the use case's safe default, since nothing else answered; any earlier answer would have been used"


class SafeDefault(Target):
    """Gives the fixed answer that the use case's team wrote. Never sees the request."""

    name = "safe_default"
    sees_request = False
    degraded = True

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer:
        return Answer(usecase.safe_default, reason=_SAID)
