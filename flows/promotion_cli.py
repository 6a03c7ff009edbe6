"""`switchyard registry gate|promote|withdraw|freeze|unfreeze`: may this version lead, and who let it."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:  # MLflow and pandas, which `--help` need not wait for
    from registry.promotion import PromotionDecision
    from registry.records import ModelRef

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
UseCaseName = Annotated[str, typer.Argument(metavar="USECASE")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the signed log.")]
Version = Annotated[int | None, typer.Option(min=1, help="A version; by default the newest.")]


def commands(root: typer.Typer) -> None:
    """Add to the group `registry`, which the registry's own commands made."""
    group = next(g.typer_instance for g in root.registered_groups if g.name == "registry")
    if group is None:
        raise RuntimeError("the group `registry` comes first")
    group.command("gate")(gate)
    group.command("promote")(promote)
    group.command("withdraw")(withdraw)
    group.command("freeze")(freeze)
    group.command("unfreeze")(unfreeze)


def gate(
    name: UseCaseName,
    version: Version = None,
    alias: Annotated[str | None, typer.Option(help="Instead: what this alias means.")] = None,
    to: Annotated[
        Literal["champion", "canary", "shadow"], typer.Option(help="What it would be.")
    ] = "champion",
    as_json: Json = False,
) -> None:
    """Explain whether a version may be promoted, condition by condition. Changes nothing; exit code 1 when
    the gate is shut.

    \b
    Example: switchyard registry gate support --version 8
    """
    from flows.promotion_commands import look

    ref, decision, champion = look(name, version, alias, to)
    _print(ref, to, decision, champion, as_json, {})
    if not decision.open:
        raise typer.Exit(1)


def promote(
    name: UseCaseName,
    to: Annotated[Literal["champion", "canary", "shadow"], typer.Option(help="What it is to be.")],
    version: Version = None,
    alias: Annotated[str | None, typer.Option(help="Instead: what this alias means.")] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Though the gate is shut; needs --reason.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why the gate is overridden; kept with your name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Move an alias to a version, and place it here; refused, with exit code 1, unless the gate is open.

    Promotion, refusal and override go into the signed log. No override lets a key sign that may not.

    \b
    Example: switchyard registry promote support --version 8 --to canary
    """
    from flows.promotion_commands import carry_out

    ref, decision, champion, granted = carry_out(
        name, version, alias, to, reason if override else None, override
    )
    _print(
        ref, to, decision, champion, as_json, {"promoted": granted, "override": reason if override else None}
    )
    if not granted:
        raise typer.Exit(1)


def withdraw(
    name: UseCaseName,
    alias: Annotated[Literal["canary", "shadow"], typer.Option(help="The alias that is to mean nothing.")],
    reason: Reason,
) -> None:
    """Let canary or shadow mean nothing any more; in the signed log with your name.

    \b
    Example: switchyard registry withdraw support --alias canary --reason "complaints"
    """
    from flows.promotion_commands import take_back

    typer.echo(take_back(name, alias, reason))


def freeze(name: UseCaseName, reason: Reason) -> None:
    """Let nothing of a use case be promoted until `unfreeze`.

    \b
    Example: switchyard registry freeze support --reason "end of year"
    """
    from flows.promotion_commands import set_freeze

    typer.echo(set_freeze(name, reason, on=True))


def unfreeze(name: UseCaseName, reason: Reason) -> None:
    """End a freeze that `freeze` began.

    \b
    Example: switchyard registry unfreeze support --reason "the year is over"
    """
    from flows.promotion_commands import set_freeze

    typer.echo(set_freeze(name, reason, on=False))


def _print(
    ref: "ModelRef",
    to: str,
    decision: "PromotionDecision",
    champion: "ModelRef | None",
    as_json: bool,
    more: dict[str, Any],
) -> None:
    if as_json:
        said = {
            **asdict(ref),
            "to": to,
            "champion": asdict(champion) if champion else None,
            "open": decision.open,
            "reason": decision.reason,
            "gates": [asdict(one) for one in decision.gates],
        }
        typer.echo(json.dumps(said | more, indent=2))
        return
    against = f"champion: version {champion.version}" if champion else "no champion"
    typer.echo(f"{ref.name} version {ref.version} -> {to} ({against})")
    for one in decision.gates:
        typer.echo(f"  {'open' if one.passed else 'SHUT'}  {one.name}: {one.said}")
    if "promoted" not in more:
        typer.echo(f"the gate is {'open' if decision.open else 'shut'}: {decision.reason}")
    elif more["promoted"]:
        how = "" if decision.open else ", by override"
        typer.echo(f"{ref.name}@{to} is version {ref.version} now{how}; it is verified and placed here")
    else:
        typer.echo(f"not promoted: {decision.reason}")
