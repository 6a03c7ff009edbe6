"""The access policy of one use case: may this data go to that target? Deny by default.

Cedar decides (`policy.cedar` of the use-case folder), checked against `access_policy.cedarschema`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from feature_checks.usecase import UseCase
from services.errors import ConfigError
from services.values import Verdict


class PolicyError(ConfigError):
    """An access policy is refused at load: file, line or policy id, and why."""

    type = "policy_error"


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

    @classmethod
    def load(cls, usecase: UseCase, targets: Iterable[str] | None = None) -> "AccessPolicy":
        """Read and check `policy.cedar`. `targets` are the names that it may mention; by default
        those that the plan leads to. Raises `PolicyError`."""
        raise PolicyError(f"{usecase.name}/policy.cedar: not readable yet")

    def verdict(self, question: PolicyQuestion) -> Verdict:
        """Yes or no, with the ids of the policies that decided. Any error is a no."""
        return Verdict(False, (), "denied: no policy permits it")
