"""A rollout's candidate as a target for one request: where it fails, stable answers in its place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

from feature_checks.usecase import UseCase
from services.errors import NotAsked, TargetFailed, TargetRefused
from services.rollouts.cutoff import Cutoff
from services.targets import Target, Written
from services.targets.answer_schema import OF_THE_ANSWER
from services.values import Answer, Declined, Envelope
from services.verify import ALWAYS, Validator, verify

Permits = Callable[[Target, Envelope], bool]
Closed = Callable[[str, Envelope], str | None]


class How(StrEnum):
    """How a candidate failed one request."""

    HARD = "hard"  # it raised, said no number, or broke the output contract: a handful of these cut it off
    REFUSED = "refused"  # a validator refused its answer, as it may refuse a sound model's now and then
    NOT_ASKED = "not_asked"  # its endpoint's breaker is open, or the money is spent


class VariantTarget(Target):
    """Made anew for each request. `failed` says afterwards how the candidate failed, if it did, and `how`.

    `stable` are the targets to fall back on, in order; none: the rest of the plan is left. `permits` is
    access policy's word on the hop to one of them, and `closed` says why it should not be tried just now.
    """

    def __init__(
        self,
        candidate: Target,
        stable: Sequence[Target],
        cutoff: Cutoff,
        validators: Sequence[Validator],
        permits: Permits,
        closed: Closed = lambda name, envelope: None,
    ) -> None:
        self.failed: str | None = None
        self.how: How | None = None
        self._cutoff = cutoff
        self._stable = tuple(stable)
        self._validators = tuple(validators)
        self._permits = permits
        self._closed = closed
        self._candidate = candidate
        self._told = False
        self._outage = False
        self._spent: float | None = 0.0
        self._is(candidate)

    def stands_in(self, envelope: Envelope) -> bool:
        """Could stable answer in the candidate's place, where that is not to be asked at all?"""
        return any(self._free(target, envelope) for target in self._stable)

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
        sound = proven = False
        try:
            said = await self._try(envelope, usecase, deadline, written)
            if said is not None and self.failed is None:
                sound = True
                return said
            answer = await self._fall_back(envelope, usecase, deadline, written)
            proven = True
            return answer
        finally:
            # An outage that stable meets too says nothing of the candidate.
            blamed = self.how is How.HARD and (proven or not self._outage)
            self._cutoff.end(self.failed if blamed else None, sound=sound)

    async def _try(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written | None
    ) -> Answer | Declined | None:
        """What the candidate said; `failed` and `how` say whether that will do."""
        try:
            said = await self._asked(self._candidate, envelope, usecase, deadline, self._telling(written))
        except TargetRefused:
            raise
        except NotAsked as blocked:
            if not self._stable:
                raise
            self._fails(How.NOT_ASKED, f"was not asked: {blocked.message}", 0.0)
            return None
        except TargetFailed as failure:
            self._outage = not self.own_text and failure.kind not in OF_THE_ANSWER
            self._fails(How.HARD, failure.message, failure.cost_usd)
            if self._told:
                raise
            return None
        except Exception as error:  # noqa: BLE001  — a candidate may raise what it likes; its text may hold content
            self._fails(How.HARD, f"broke with {type(error).__name__}", 0.0 if self.own_text else None)
            return None
        if isinstance(said, Answer) and (problem := self._breach(said, envelope)) is not None:
            how = How.HARD if problem.startswith(f"{ALWAYS}:") else How.REFUSED
            what = "broke the output contract" if how is How.HARD else "gave an answer that was refused"
            self._fails(how, f"{what}: {problem}", said.cost_usd)
        return said

    async def _fall_back(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written | None
    ) -> Answer | Declined:
        """Stable's answer. What the caller has begun to read is the candidate's: nothing of stable may go
        on behind it."""
        why = f"the rollout's candidate failed: {self.failed}"
        for target in () if self._told else self._stable:
            if not self._free(target, envelope):
                continue
            self._is(target)
            try:
                answer = await self._asked(target, envelope, usecase, deadline, written)
            except NotAsked as blocked:
                why = f"{why}; stable's {target.name} was not asked: {blocked.message}"
                continue
            except TargetRefused as refusal:
                cost = _sum(self._spent, refusal.cost_usd)
                raise TargetRefused(refusal.message, cost_usd=cost, model=refusal.model) from None
            except TargetFailed as failure:
                self._spent = _sum(self._spent, failure.cost_usd)
                why = f"{why}; stable's {target.name}: {failure.message}"
                continue
            reason = f"{answer.reason}; stable said so, since the candidate {self.failed}"
            if isinstance(answer, Declined):
                return replace(answer, reason=reason)
            return replace(answer, reason=reason, cost_usd=_sum(self._spent, answer.cost_usd))
        raise TargetFailed("candidate", why, cost_usd=self._spent)

    def _free(self, target: Target, envelope: Envelope) -> bool:
        return self._permits(target, envelope) and self._closed(target.name, envelope) is None

    def _fails(self, how: How, why: str, cost_usd: float | None) -> None:
        self.how, self.failed, self._spent = how, why, cost_usd

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

    def _breach(self, said: Answer, envelope: Envelope) -> str | None:
        """Why an answer may not go out, if so. Approved texts are held to the output contract alone."""
        if self._told:
            return None  # judged by the attempt, which says that it broke off
        wanted = [v for v in self._validators if not self.own_text or v.name == ALWAYS]
        return verify(wanted, said.output, envelope, own_text=self.own_text)

    def _is(self, target: Target) -> None:
        """Be this one, for access policy and for the record."""
        self.name = target.name
        self.on_premises, self.region, self.attested = target.on_premises, target.region, target.attested
        self.sees_request, self.own_text = target.sees_request, target.own_text
        self.degraded, self.versions = target.degraded, target.versions
        self.waits = target.waits or any(one.waits for one in self._stable)


def _sum(one: float | None, other: float | None) -> float | None:
    """Unknown, where one of them is."""
    return None if one is None or other is None else one + other
