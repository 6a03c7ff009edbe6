"""Why a verdict is what it is, and what would change it: one attribute at a time, asked for real."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.policy import AccessPolicy, PolicyQuestion
from services.values import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute with another value, and the verdict that it would lead to."""

    change: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """`changes` are the single ones that turn the answer around."""

    question: PolicyQuestion
    verdict: Verdict
    changes: tuple[Change, ...]


def explain(policy: AccessPolicy, question: PolicyQuestion) -> Explanation:
    """Ask, then ask again with every attribute changed to each value that the policies speak of."""
    verdict = policy.verdict(question)
    changes = []
    for change, other in _others(policy, question):
        found = policy.verdict(other)
        if found.allowed != verdict.allowed:
            changes.append(Change(change, found))
    return Explanation(question, verdict, tuple(changes))


def _others(policy: AccessPolicy, question: PolicyQuestion) -> Iterator[tuple[str, PolicyQuestion]]:
    mentions = policy.source.mentions
    for tag in sorted(question.tags):
        yield f"without the tag '{tag}'", replace(question, tags=question.tags - {tag})
    for tag in sorted(mentions["tags"] - question.tags):
        yield f"with the tag '{tag}'", replace(question, tags=question.tags | {tag})
    if question.residency:
        yield "without a residency", replace(question, residency=None)
    for residency in sorted(_values(mentions["residency"], question.region, not_=question.residency)):
        yield f"residency '{residency}'", replace(question, residency=residency)
    for purpose in sorted(_values(mentions["purpose"], not_=question.purpose)):
        yield f"purpose '{purpose}'", replace(question, purpose=purpose)
    for region in sorted(_values(mentions["region"], question.residency, not_=question.region)):
        yield f"a target in region '{region}'", replace(question, region=region)
    if question.region:
        yield "a target that does not say its region", replace(question, region=None)
    yield (
        "a target that is not attested" if question.attested else "an attested target",
        replace(question, attested=not question.attested),
    )
    yield (
        "a target off our premises" if question.on_premises else "a target on our premises",
        replace(question, on_premises=not question.on_premises),
    )
    for tenant in sorted(_values(mentions["tenant"], not_=question.tenant)):
        yield f"tenant '{tenant}'", replace(question, tenant=tenant)
    for target in sorted(_values(mentions["target"], not_=question.target)):
        yield f"target '{target}'", replace(question, target=target)


def _values(mentioned: frozenset[str], *more: str | None, not_: str | None) -> set[str]:
    return {value for value in (*mentioned, *more) if value is not None and value != not_}
