"""`switchyard rollout status|wait|promote|resume|abort`: a person's hand on the kept rollouts."""

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # numpy and SQLAlchemy, which other commands need not wait for
    from registry.rollout import Record, Rollout
    from registry.rollout_store import Rollouts

ROLLOUT = "rollout"
"""The group, to which other rooms add commands of theirs."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ComponentName = Annotated[str, typer.Argument(metavar="COMPONENT", help="<usecase>/local, /cloud or /config")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the move.")]


def commands(root: typer.Typer) -> None:
    """Add the group `rollout`."""
    group = typer.Typer(help="How a change reaches users: step by step, and back.", no_args_is_help=True)
    group.command("status")(status)
    group.command("wait")(wait)
    group.command("promote")(promote)
    group.command("resume")(resume)
    group.command("abort")(abort)
    root.add_typer(group, name=ROLLOUT)


def status(
    component: Annotated[
        str | None, typer.Argument(metavar="[COMPONENT]", help="All that live by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one component's last rollout with all its moves, or those that live.

    \b
    Example: switchyard rollout status support/local --json
    """
    with _opened() as kept:
        if component is not None:
            rollout = kept.latest(component)
            show(rollout, kept.records(rollout.id), as_json)
            return
        living = kept.live()
    if as_json:
        typer.echo(json.dumps([_shown(rollout) for rollout in living], indent=2))
    elif not living:
        typer.echo("no rollout is under way; see `switchyard rollout start --help`")
    else:
        for rollout in living:
            typer.echo(_line(rollout))


def wait(
    component: ComponentName,
    timeout_s: Annotated[float, typer.Option(min=0, help="How long at most, in seconds.")] = 86400.0,
    poll_s: Annotated[float, typer.Option(min=0.01, help="How often to look, in seconds.")] = 5.0,
) -> None:
    """Wait until the component's last rollout has ended, and tell its moves. Exit code 1 unless promoted.

    \b
    Example: switchyard rollout wait support/local --timeout-s 3600
    """
    from registry.rollout_wait import wait_for_end

    with _opened() as kept:
        wait_for_end(kept, component, timeout_s, poll_s, lambda rollout: typer.echo(_line(rollout)))


def promote(
    component: ComponentName,
    full: Annotated[bool, typer.Option("--full", help="To everybody at once, and be done.")] = False,
    reason: Reason = "promoted by hand",
    as_json: Json = False,
) -> None:
    """Take the next step now, without waiting for the numbers.

    \b
    Example: switchyard rollout promote support/local --full --reason "hotfix, reviewed"
    """
    _asked(component, "promote" if full else "advance", reason, as_json)


def resume(component: ComponentName, reason: Reason = "resumed by hand", as_json: Json = False) -> None:
    """Go on after a pause; the step's time begins anew.

    \b
    Example: switchyard rollout resume support/local
    """
    _asked(component, "resume", reason, as_json)


def abort(component: ComponentName, reason: Reason = "aborted by hand", as_json: Json = False) -> None:
    """End it at once: everybody is stable's again. May be repeated, and takes back what was promoted, too:
    a version that became champion meanwhile leads until another is promoted.

    \b
    Example: switchyard rollout abort support/local --reason "complaints"
    """
    _asked(component, "abort", reason, as_json)


def _asked(component: str, wish: str, reason: str, as_json: bool) -> None:
    from registry.promoting import who
    from registry.rollout import Move
    from registry.rollout_moves import ask

    with _opened() as kept:
        rollout = ask(kept, component, Move(wish), by=who(), reason=reason, at_s=time.time())
        records = kept.records(rollout.id)
    show(rollout, records, as_json)


def _opened() -> "Rollouts":
    from registry.rollout_store import Rollouts, RolloutSettings

    return Rollouts(RolloutSettings().rollouts)


def show(rollout: "Rollout", records: "list[Record]", as_json: bool) -> None:
    """One rollout and its moves, for a person or a script."""
    if as_json:
        moves = [record.model_dump(mode="json") for record in records]
        typer.echo(json.dumps(_shown(rollout) | {"records": moves}, indent=2))
        return
    typer.echo(_line(rollout))
    for record in records:
        at = datetime.fromtimestamp(record.at_s, UTC).isoformat(timespec="seconds")
        typer.echo(
            f"  {at}  {record.move}: {record.before} -> {record.after}, by {record.by}: {record.reason}"
        )


def _shown(rollout: "Rollout") -> dict[str, Any]:
    return rollout.model_dump(mode="json") | {
        "weight_percent": rollout.weight_percent,
        "ended": rollout.ended,
    }


def _line(rollout: "Rollout") -> str:
    step = "shadow" if rollout.step < 0 else f"step {rollout.step + 1} of {len(rollout.steps)}"
    return (
        f"{rollout.component}: {rollout.stable} -> {rollout.candidate}, {rollout.state} ({step}), "
        f"{rollout.weight_percent:g} % of requests"
    )
