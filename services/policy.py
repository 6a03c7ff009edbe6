"""The access policy of one use case: may this data go to that target? Deny by default.

Cedar decides (`policy.cedar` of the use-case folder), checked at load against `access_policy.cedarschema`.
A verdict depends only on what the policies mention, so it is cached by that alone. An error is a no.
"""

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cedarpy

from feature_checks.usecase import UseCase
from services.policy_source import PolicyError, PolicySource, read_policy
from services.values import Verdict

VERDICTS_KEPT = 4096
TARGETS_KEPT = 256

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """One hop: this tenant's data, with these tags, to that target."""

    tenant: str
    tags: frozenset[str]
    target: str
    residency: str | None = None
    purpose: str = "service"
    region: str | None = None
    on_premises: bool = False
    attested: bool = False


class AccessPolicy:
    """A parsed and validated policy. Made by `load`; safe to share between threads."""

    def __init__(self, source: PolicySource) -> None:
        self.source = source
        self._policies = cedarpy.PolicySet.from_str(source.text)
        self._entities = lru_cache(TARGETS_KEPT)(self._target_entities)
        self._decide = lru_cache(VERDICTS_KEPT)(self._evaluate)
        uses = source.uses
        self._by_tenant, self._by_target = "tenant" in uses, "target" in uses
        self._by_residency, self._by_purpose = "residency" in uses, "purpose" in uses
        self._by_region, self._by_place = "region" in uses, "on_premises" in uses
        self._by_attestation = "attested" in uses
        self._tags_that_matter = None if source.any_tag_matters else source.mentions["tags"]

    @classmethod
    def load(
        cls, usecase: UseCase, targets: Iterable[str] | None = None, tags: Iterable[str] = ()
    ) -> "AccessPolicy":
        """Read and check `policy.cedar`. Raises `PolicyError`.

        `targets` are the names that it may mention; by default those that the plan leads to. `tags` are
        data tags known beside the use case's own and the detector's, as custom recognisers give them.
        """
        return cls(read_policy(usecase, targets, tags))

    def verdict(self, question: PolicyQuestion) -> Verdict:
        """Yes or no, with the ids of the policies that decided. Any error is a no."""
        try:
            return self._decide(
                question.tenant if self._by_tenant else "",
                question.tags if self._tags_that_matter is None else question.tags & self._tags_that_matter,
                question.target if self._by_target else "",
                _lower(question.residency) if self._by_residency else None,
                question.purpose.lower() if self._by_purpose else "",
                _lower(question.region) if self._by_region else None,
                question.on_premises if self._by_place else False,
                question.attested if self._by_attestation else False,
            )
        except Exception as error:  # noqa: BLE001  — whatever goes wrong here, data must stay where it is
            logger.error("access policy %s: %s while asked; denied", self.source.shown, type(error).__name__)
            return Verdict(False, (), "denied: the access policy could not be evaluated")

    def _evaluate(
        self,
        tenant: str,
        tags: frozenset[str],
        target: str,
        residency: str | None,
        purpose: str,
        region: str | None,
        on_premises: bool,
        attested: bool,
    ) -> Verdict:
        context: dict[str, object] = {"tags": sorted(tags), "purpose": purpose}
        if residency is not None:
            context["residency"] = residency
        request = {
            "principal": {"type": "Tenant", "id": tenant},
            "action": {"type": "Action", "id": "send"},
            "resource": {"type": "Target", "id": target},
            "context": context,
        }
        entities = self._entities(tenant, target, region, on_premises, attested)
        result = cedarpy.is_authorized(request, self._policies, entities)
        ids = tuple(sorted(self.source.names[policy] for policy in result.diagnostics.reasons))
        if result.diagnostics.errors:
            return self._failed(result.diagnostics.errors)
        if result.allowed:
            return Verdict(True, ids, f"permitted by {', '.join(ids)}")
        why = f"forbidden by {', '.join(ids)}" if ids else "no policy permits it"
        return Verdict(False, ids, f"denied: {why}")

    def _failed(self, errors: list[str]) -> Verdict:
        """Cedar skips a policy that fails, a `forbid` too; here that is a no. Its message may hold values."""
        named = {name for error in errors for name in re.findall(r"policy[0-9]+", error)}
        ids = tuple(sorted(self.source.names[name] for name in named if name in self.source.names))
        return Verdict(False, ids, f"denied: evaluation failed in {', '.join(ids) or 'a policy'}")

    def _target_entities(
        self, tenant: str, target: str, region: str | None, on_premises: bool, attested: bool
    ) -> Any:
        """Principal and resource as Cedar entities, checked against the schema. cedarpy has no types."""
        attributes: dict[str, object] = {"on_premises": on_premises, "attested": attested}
        if region is not None:
            attributes["region"] = region
        entities = [
            {"uid": {"type": "Tenant", "id": tenant}, "attrs": {}, "parents": []},
            {"uid": {"type": "Target", "id": target}, "attrs": attributes, "parents": []},
        ]
        return cedarpy.Entities.from_json_str(json.dumps(entities), self.source.schema)


def _lower(word: str | None) -> str | None:
    return None if word is None else word.lower()


__all__ = ["AccessPolicy", "PolicyError", "PolicyQuestion"]
