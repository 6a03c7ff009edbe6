"""A rollout's candidate as a target for one request: where it fails hard, stable answers in its place."""

from collections.abc import Callable
from dataclasses import replace

from feature_checks.usecase import UseCase
from services.errors import NotAsked, TargetFailed, TargetRefused
from services.rollouts.cutoff import Cutoff
from services.targets import Target, Written
from services.values import Answer, Declined, Envelope
from services.verify import Validator, verify


class VariantTarget(Target):
    """Made anew for each request. `failed` says afterwards how the candidate failed, if it did.

    `stable` None: there is nothing to fall back on but the rest of the plan. `permits` is access policy's
    word on the hop to stable.
    """

    def __init__(
        self,
        candidate: Target,
        stable: Target | None,
        cutoff: Cutoff,
        schema: Validator | None,
        permits: Callable[[Target, Envelope], bool],
    ) -> None:
        self.name = candidate.name
        self.failed: str | None = None
        self._cutoff = cutoff
        self._stable = stable
        self._schema = schema
        self._permits = permits
        self._candidate = candidate
        self._told = False
        self._is(candidate)

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        return await self._answer(envelope, usecase, deadline, None)

    async def answer_written(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written
    ) -> Answer | Declined:
        return await self._answer(envelope, usecase, deadline, written)

    async def _answer(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written | None
    ) -> Answer | Declined:
        self._cutoff.begin()
        sound = False
        try:
            said = await self._asked(self._candidate, envelope, usecase, deadline, self._telling(written))
            self.failed = self._breach(said, envelope)
            sound = True
        except (NotAsked, TargetRefused):
            raise
        except TargetFailed as failure:
            self.failed = failure.message
            if self._told:
                raise
        except Exception as error:  # noqa: BLE001  — a candidate may raise what it likes; its text may hold content
            self.failed = f"broke with {type(error).__name__}"
        finally:
            self._cutoff.end(self.failed, sound=sound)
        if self.failed is None:
            return said
        # what the caller has begun to read is the candidate's: stable must not go on behind it
        if self._told or self._stable is None or not self._permits(self._stable, envelope):
            raise TargetFailed("candidate", f"the rollout's candidate failed: {self.failed}")
        self._is(self._stable)
        answer = await self._asked(self._stable, envelope, usecase, deadline, written)
        return replace(answer, reason=f"{answer.reason}; stable said so, since the candidate {self.failed}")

    async def _asked(
        self, target: Target, envelope: Envelope, usecase: UseCase, deadline: float, written: Written | None
    ) -> Answer | Declined:
        if written is None:
            return await target.answer(envelope, usecase, deadline)
        return await target.answer_written(envelope, usecase, deadline, written)

    def _telling(self, written: Written | None) -> Written | None:
        if written is None:
            return None

        async def tell(text: str) -> None:
            self._told = True
            await written(text)

        return tell

    def _breach(self, said: Answer | Declined, envelope: Envelope) -> str | None:
        """How an answer breaks the output contract, if it does."""
        if isinstance(said, Declined) or self._schema is None or self._told:
            return None
        problem = verify((self._schema,), said.output, envelope, own_text=self.own_text)
        return None if problem is None else f"broke the output contract: {problem}"

    def _is(self, target: Target) -> None:
        """Be this one, for access policy and for the record."""
        self.on_premises, self.region, self.attested = target.on_premises, target.region, target.attested
        self.sees_request, self.own_text = target.sees_request, target.own_text
        self.degraded, self.waits, self.versions = target.degraded, target.waits, target.versions
