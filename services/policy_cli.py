"""`switchyard policy explain`: may this data go there, which policies say so, what would change it."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # Cedar and the recognisers, which other commands need not wait for
    from services.policy_explain import Explanation


def policy_commands(root: typer.Typer) -> None:
    """Add the group `policy`."""
    group = typer.Typer(help="Access policies: what data may go where.", no_args_is_help=True)
    group.command("explain")(explain_command)
    root.add_typer(group, name="policy")


def explain_command(
    usecase: Annotated[str, typer.Argument(help="A use case, such as `support`.")],
    target: Annotated[str, typer.Option(help="Where to: local, cloud/primary …")],
    tags: Annotated[str, typer.Option(help="Data tags, comma separated: user_content,pii_card.")] = "",
    residency: Annotated[str | None, typer.Option(help="Where the caller says the data must stay.")] = None,
    region: Annotated[str | None, typer.Option(help="Where the target is.")] = None,
    attested: Annotated[bool, typer.Option(help="The target is an attested enclave.")] = False,
    on_premises: Annotated[
        bool | None,
        typer.Option("--on-premises/--off-premises", help="Default: off for cloud/…, on for the others."),
    ] = None,
    purpose: Annotated[str, typer.Option(help="What the data is used for.")] = "service",
    tenant: Annotated[str, typer.Option(help="Whose data it is.")] = "any-tenant",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say whether data with these tags may go to a target, why, and what would change that.

    Example: switchyard policy explain support --tags user_content,pii_card --residency eu
    --target cloud/primary --region us
    """
    from feature_checks.usecase import load_usecase
    from services.detection import tags_of
    from services.errors import ConfigError
    from services.policy import AccessPolicy, PolicyQuestion
    from services.policy_explain import explain
    from services.policy_source import targets_of
    from services.settings import load_settings

    case = load_usecase(usecase)
    known = targets_of(case)
    if target not in known:
        raise ConfigError(f"--target: '{usecase}' has no target '{target}'; its targets: {', '.join(known)}")
    named = frozenset(tag.strip() for tag in tags.split(",") if tag.strip())
    question = PolicyQuestion(
        tenant=tenant,
        tags=named | {"pii"} if any(tag.startswith("pii_") for tag in named) else named,
        target=target,
        residency=residency.lower() if residency else None,
        purpose=purpose.lower(),
        region=region.lower() if region else None,
        on_premises=not target.startswith("cloud/") if on_premises is None else on_premises,
        attested=attested,
    )
    policy = AccessPolicy.load(case, tags=tags_of(load_settings()))
    if unknown := sorted(tag for tag in named - policy.source.known_tags if not tag.startswith("pii_")):
        known_tags = ", ".join(sorted(policy.source.known_tags))
        raise ConfigError(f"--tags: no data tag is called '{unknown[0]}'; known: {known_tags}")
    explanation = explain(policy, question)
    typer.echo(_as_json(explanation) if as_json else _as_text(explanation))


def _as_json(explanation: "Explanation") -> str:
    asked = dataclasses.asdict(explanation.question) | {"tags": sorted(explanation.question.tags)}
    return json.dumps(
        {
            "allowed": explanation.verdict.allowed,
            "policy_ids": list(explanation.verdict.policy_ids),
            "reason": explanation.verdict.reason,
            "question": asked,
            "would_change": [
                {"change": one.change, "allowed": one.verdict.allowed, "reason": one.verdict.reason}
                for one in explanation.changes
            ],
        },
        indent=2,
    )


def _as_text(explanation: "Explanation") -> str:
    asked, verdict = explanation.question, explanation.verdict
    place = "on premises" if asked.on_premises else f"region {asked.region or 'not said'}"
    lines = [
        f"{'PERMITTED' if verdict.allowed else 'DENIED'}: {asked.target} ({place}"
        f"{', attested' if asked.attested else ''})",
        f"  data: {', '.join(sorted(asked.tags)) or 'no tags'}; residency {asked.residency or 'not said'}; "
        f"purpose {asked.purpose}",
        f"  why: {verdict.reason}",
    ]
    if explanation.changes:
        lines.append("  it would be the other way round with:")
        lines += [f"    {one.change} ({one.verdict.reason})" for one in explanation.changes]
    else:
        lines.append("  no single change would turn it around")
    return "\n".join(lines)
