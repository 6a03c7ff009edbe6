"""The rung before the last: the last good answer to this very request, said to be old."""

from feature_checks.usecase import UseCase
from services.errors import StateUnavailable, TargetFailed
from services.kept_answers import AnswerShelf, in_words, too_old
from services.targets import Target
from services.values import Answer, Declined, Envelope


class StaleTarget(Target):
    """`stale`. Its answer is checked like a model's, since a model wrote it."""

    name = "stale"
    own_text = False
    degraded = True

    def __init__(self, shelf: AnswerShelf) -> None:
        self._shelf = shelf

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        assert usecase.stale is not None
        try:
            kept = await self._shelf.find(envelope, usecase.version)
        except StateUnavailable as error:
            raise TargetFailed("store_down", f"kept answers cannot be read: {error.message}") from None
        if kept is None:
            return Declined("no earlier answer to this very request is kept; one would have been used")
        age_s, bound_s = self._shelf.age_s(kept), usecase.stale.max_age_s
        if too_old(age_s, bound_s):
            said = f"the earlier answer is {in_words(age_s)} old, and {in_words(bound_s)} are allowed"
            return Declined(f"{said}; a newer one would have been used")
        said = f"what {kept.route} answered to the same request {in_words(age_s)} ago, since nothing fresher"
        return Answer(
            kept.output, None, f"{said} answered; a fresh answer would have been used", 0.0, kept.model
        )
