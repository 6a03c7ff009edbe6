"""What can answer a request: one interface, a file for each kind of target.

A target gets an `Envelope` (redacted) and never the original. It answers, declines with a reason
that says what would have changed its mind, or raises `TargetFailed`. `TargetRefused` is a model's
refusal for safety: final, no other model is asked.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from feature_checks.usecase import UseCase
from services.values import Answer, Declined, Envelope

Written = Callable[[str], Awaitable[None]]
"""Told of a text that is still being written, as far as it is there."""

NO_VERSIONS: Mapping[str, str] = {}


class Target(Protocol):
    """Something that may answer. Implementations subclass this and override what differs.

    The first three attributes are what access policy asks about. `sees_request` is False for a
    target that gets nothing of the request, so that policy has nothing to permit. `own_text` means
    that its texts were approved by the use case's team; such answers are checked against the output
    contract only. `degraded` means that its answer is a stand-in for a real one. `versions` names
    what shaped the answer besides configuration and model, for example {"prompt": "3f9a…"}. `waits` is
    False where answering never waits for anything, so that no timer need be set for it.
    """

    name: str
    on_premises: bool = True
    region: str | None = None
    attested: bool = False
    sees_request: bool = True
    own_text: bool = True
    degraded: bool = False
    waits: bool = True
    versions: Mapping[str, str] = NO_VERSIONS

    async def answer(self, envelope: Envelope, usecase: UseCase, deadline: float) -> Answer | Declined:
        """Answer within `deadline` (time.monotonic() seconds), or say why not."""
        ...

    async def answer_written(
        self, envelope: Envelope, usecase: UseCase, deadline: float, written: Written
    ) -> Answer | Declined:
        """As `answer`. A target that can, tells `written` the text of the answer's reply field as far as it
        is there, all of it each time, and begins anew if it asks again. The others just answer."""
        return await self.answer(envelope, usecase, deadline)
