"""Reading a `policy.cedar`: parsed, held against the schema, and against the names that exist.

Cedar's validator finds unknown attributes, types and actions. It cannot know that `secrt` is no data
tag or that there is no `cloud/primry`, and a `forbid` with a slip like that would never fire: so the
names that policies mention are checked here too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import cedarpy

from feature_checks.usecase import UseCase
from services.errors import ConfigError
from services.injection import TAG
from services.keys import is_tenant
from services.privacy.kinds import detected_tags
from services.privacy.vocabulary import is_word

ATTRIBUTES = {
    "principal": ("tenant",),
    "resource": ("target", "region", "on_premises", "attested"),
    "context": ("tags", "purpose", "residency"),
}
_SETS = ("contains", "containsAll", "containsAny")


class PolicyError(ConfigError):
    """An access policy is refused at load: the file, the policy, what is wrong, what is allowed."""

    type = "policy_error"


@dataclass(frozen=True)
class PolicySource:
    """A policy file that passed every check.

    `names`: Cedar's own policy id -> what records call it. `uses`: attributes that any policy reads.
    `mentions`: attribute -> the values that policies compare it with. `any_tag_matters`: tags are used
    in another way than asking for named ones. `known_tags`: what a request of this use case can carry.
    """

    shown: str
    text: str
    schema: Any  # a cedarpy handle: it has no types
    names: Mapping[str, str]
    uses: frozenset[str]
    mentions: Mapping[str, frozenset[str]]
    any_tag_matters: bool
    known_tags: frozenset[str]


def targets_of(usecase: UseCase) -> tuple[str, ...]:
    """The targets that a use case's plan leads to, in its order: its steps, `cloud` once an endpoint."""
    names: list[str] = []
    for step in usecase.plan:
        if step == "cloud" and usecase.cloud:
            names += [f"cloud/{endpoint}" for endpoint in usecase.cloud.endpoints]
        else:
            names.append(step)
    return tuple(names)


def read_policy(
    usecase: UseCase, targets: Iterable[str] | None = None, tags: Iterable[str] = ()
) -> PolicySource:
    """Read and check the policy of a use case. Raises `PolicyError`."""
    shown = f"{usecase.name}/policy.cedar"
    try:
        text = usecase.path("policy.cedar").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = type(error).__name__
        raise PolicyError(f"{shown}: expected a readable text in UTF-8, got {why}") from error
    schema = cedarpy.Schema.from_str(
        resources.files("services").joinpath("access_policy.cedarschema").read_text(encoding="utf-8")
    )
    policies = _parse(text, shown)
    names = _names(policies, shown)
    found = cedarpy.validate_policies(text, schema)
    if not found.validation_passed:
        problems = "; ".join(_problem(error, names) for error in found.errors)
        raise PolicyError(f"{shown}: {problems}. A policy may use: {_vocabulary()}")
    _must_be_lower(shown, policies)
    facts = [fact for policy in policies.values() for fact in _facts(policy)]
    mentions = {
        attribute: frozenset(value for where, value in facts if where == attribute and value is not None)
        for attributes in ATTRIBUTES.values()
        for attribute in attributes
    }
    of_fields = {tag for field in usecase.input.values() for tag in field.tags}
    known_tags = of_fields | detected_tags() | {TAG} | set(tags)
    _must_be_known(shown, "data tag", mentions["tags"], known_tags)
    for attribute in ("residency", "purpose"):
        _must_be_sayable(
            shown, attribute, mentions[attribute], is_word, "a letter, then letters, digits, '_', '-'"
        )
    _must_be_sayable(shown, "tenant", mentions["tenant"], is_tenant, "1 to 63 of a-z, 0-9, '_' and '-'")
    known_targets = set(targets_of(usecase) if targets is None else targets)
    _must_be_known(shown, "target", mentions["target"], known_targets)
    return PolicySource(
        shown=shown,
        text=text,
        schema=schema,
        names=names,
        uses=frozenset(where for where, _ in facts),
        mentions=mentions,
        any_tag_matters=("tags", None) in facts,
        known_tags=frozenset(known_tags),
    )


def _parse(text: str, shown: str) -> dict[str, Any]:
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise PolicyError(f"{shown}: is not Cedar: {error}") from error
    if parsed["templates"]:
        raise PolicyError(f"{shown}: holds a template (`?resource`), and nothing would fill it in")
    policies: dict[str, Any] = parsed["staticPolicies"]
    if not policies:
        raise PolicyError(f"{shown}: holds no policy, so nothing could ever be answered: write a permit")
    return policies


def _names(policies: Mapping[str, Any], shown: str) -> dict[str, str]:
    """What records call each policy: its `@id`, else its place in the file."""
    names: dict[str, str] = {}
    for number, (policy_id, policy) in enumerate(policies.items(), start=1):
        name = policy.get("annotations", {}).get("id") or f"policy-{number}"
        if name in names.values():
            raise PolicyError(f"{shown}: two policies are called '{name}': records say which one decided")
        names[policy_id] = name
    return names


def _problem(error: Any, names: Mapping[str, str]) -> str:
    name = names.get(error.policy_id, error.policy_id)
    text = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
    return f"{name}: {text}" if name else text


def _must_be_known(shown: str, what: str, mentioned: Iterable[str], known: set[str]) -> None:
    if unknown := sorted(set(mentioned) - known):
        raise PolicyError(f"{shown}: no {what} is called '{unknown[0]}'; known: {', '.join(sorted(known))}")


def _must_be_lower(shown: str, policies: Mapping[str, Any]) -> None:
    """Questions are asked in lower case: with a capital a `forbid` would never fire."""
    for policy in policies.values():
        for text in _literals(policy["conditions"]):
            if text != text.lower():
                raise PolicyError(
                    f"{shown}: '{text}' can never match: words are compared in lower case; "
                    f"write '{text.lower()}'"
                )


def _must_be_sayable(
    shown: str, what: str, mentioned: Iterable[str], possible: Callable[[str], bool], shape: str
) -> None:
    if never := sorted(word for word in mentioned if not possible(word)):
        raise PolicyError(f"{shown}: no {what} can ever be '{never[0]}'; expected {shape}, in lower case")


def _literals(node: Any) -> Iterator[str]:
    """Every text that a condition compares with; of a `like`, the characters around its wildcards."""
    if isinstance(node, list):
        for item in node:
            yield from _literals(item)
    elif isinstance(node, dict):
        if isinstance(node.get("Value"), str):
            yield node["Value"]
        elif "pattern" in node:
            yield "".join(part["Literal"] if isinstance(part, dict) else "*" for part in node["pattern"])
        for inside in node.values():
            yield from _literals(inside)


def _vocabulary() -> str:
    return "; ".join(
        f"{variable}: {', '.join(a for a in attributes if a not in ('tenant', 'target')) or 'its name'}"
        for variable, attributes in ATTRIBUTES.items()
    )


def _facts(policy: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """(attribute, value it is compared with, or None) for everything that a policy reads."""
    for variable, attribute in (("principal", "tenant"), ("resource", "target")):
        scope = policy[variable]
        if "entity" in scope:
            yield attribute, scope["entity"]["id"]
    for condition in policy["conditions"]:
        yield from _walk(condition["body"])


def _walk(node: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item)
    if not isinstance(node, dict):
        return
    for operator, inside in node.items():
        if operator in (".", "has") and inside["left"] in ({"Var": "resource"}, {"Var": "context"}):
            yield inside["attr"], None
        elif operator == "Var":
            yield from ((attribute, None) for attribute in ATTRIBUTES.get(inside, ()))
        elif isinstance(inside, dict) and {"left", "right"} <= inside.keys():
            yield from _comparison(operator, inside["left"], inside["right"])
        else:
            yield from _walk(inside)


def _comparison(operator: str, left: Any, right: Any) -> Iterator[tuple[str, str | None]]:
    for side, other in ((left, right), (right, left)):
        attribute, values = _attribute(side), _strings(other)
        if attribute is None or values is None:
            continue
        yield from ((attribute, value) for value in values)
        if attribute == "tags" and operator in _SETS and side is left:
            return  # only these tags matter, so that all others need not be told apart
    yield from _walk(left)
    yield from _walk(right)


def _attribute(node: Any) -> str | None:
    if node == {"Var": "principal"}:
        return "tenant"
    if node == {"Var": "resource"}:
        return "target"
    inside = node.get(".") if isinstance(node, dict) else None
    return inside["attr"] if inside and inside["left"] in ({"Var": "context"}, {"Var": "resource"}) else None


def _strings(node: Any) -> list[str] | None:
    """The strings or entity ids that a literal, or a set of literals, holds; None for anything else."""
    if not isinstance(node, dict):
        return None
    if "Set" in node:
        parts = [_strings(item) for item in node["Set"]]
        return None if None in parts else [text for part in parts if part for text in part]
    value = node.get("Value")
    if isinstance(value, dict):
        value = value.get("__entity", {}).get("id")
    return [value] if isinstance(value, str) else None
