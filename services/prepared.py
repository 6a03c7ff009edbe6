"""One use case made ready to serve: everything that is worked out once and not per request."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from feature_checks.usecase import UseCase
from services.online_features import OnlineFeatures
from services.policy import AccessPolicy, PolicyQuestion
from services.privacy.vocabulary import Vocabulary
from services.targets import Target
from services.values import Envelope, Verdict
from services.verify import Validator

log = logging.getLogger(__name__)

NOTHING_LEAVES = Verdict(True, (), "it gets nothing of the request")
COULD_NOT_ASK = Verdict(False, (), "denied: the policy could not be evaluated")


class Policy(Protocol):
    """What the pipeline needs of an access policy; `services.policy.AccessPolicy` is one."""

    def verdict(self, question: PolicyQuestion) -> Verdict: ...


def nothing_is_closed(target: str, envelope: Envelope) -> str | None:
    """The state of endpoints when nobody keeps one: all open."""
    return None


@dataclass(frozen=True, slots=True)
class PreparedUseCase:
    """A use case with its policy, targets and validators.

    `order` names the targets in plan order, cloud endpoints written out (`cloud/primary`).
    `targets` holds those that could be built; `missing` says of each other one why, and what to do.
    `closed(target, envelope)` says why a target should not be tried just now (breaker, budget), or None.
    """

    usecase: UseCase
    policy: Policy
    order: tuple[str, ...]
    targets: Mapping[str, Target]
    validators: tuple[Validator, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    closed: Callable[[str, Envelope], str | None] = nothing_is_closed
    features: OnlineFeatures | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """What a request may say of residency and purpose: what policy mentions, and where targets are."""
        regions = frozenset(target.region.lower() for target in self.targets.values() if target.region)
        if not isinstance(self.policy, AccessPolicy):
            return Vocabulary(regions)
        spoken = self.policy.source.mentions
        return Vocabulary(regions | spoken["residency"] | spoken["region"], spoken["purpose"])

    def demanding(self, validators: tuple[Validator, ...]) -> "PreparedUseCase":
        """The same for one request, whose answer must pass these too."""
        return replace(self, validators=(*self.validators, *validators)) if validators else self

    def permits(self, target: Target, envelope: Envelope) -> Verdict:
        """May this request go to that target? Whatever goes wrong in asking is a no."""
        if not target.sees_request:
            return NOTHING_LEAVES
        try:
            return self.policy.verdict(self.question(target, envelope))
        except Exception as error:  # noqa: BLE001  — a policy that fails must never mean yes
            log.error("access policy failed for %s: %s", target.name, type(error).__name__)
            return COULD_NOT_ASK

    def question(self, target: Target, envelope: Envelope) -> PolicyQuestion:
        """What access policy is asked about this hop."""
        return PolicyQuestion(
            tenant=envelope.tenant,
            tags=envelope.tags,
            target=target.name,
            residency=envelope.residency,
            purpose=envelope.purpose,
            region=target.region,
            on_premises=target.on_premises,
            attested=target.attested,
        )
