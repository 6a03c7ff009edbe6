"""`switchyard flags list|kill|restore`: a person's hand on the kill switches."""

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # SQLAlchemy, which other commands need not wait for
    from registry.rollout_database import RolloutDatabase

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Name = Annotated[
    str, typer.Argument(metavar="SWITCH", help="target:<usecase>/<target>, or rollout:<usecase>/<component>")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the switch.")]


def commands(root: typer.Typer) -> None:
    """Add the group `flags`."""
    group = typer.Typer(help="Kill switches: what must not be asked from now on.", no_args_is_help=True)
    group.command("list")(listed)
    group.command("kill")(kill)
    group.command("restore")(restore)
    root.add_typer(group, name="flags")


def listed(as_json: Json = False) -> None:
    """Show every switch that was ever used, and how it stands.

    \b
    Example: switchyard flags list --json
    """
    from registry.switches import Switches

    database = _database()
    try:
        turns = [*Switches(database).last().values()] if database.made else []
    finally:
        database.close()
    if as_json:
        typer.echo(json.dumps([turn.model_dump() for turn in turns], indent=2))
        return
    for turn in turns:
        at = datetime.fromtimestamp(turn.at_s, UTC).isoformat(timespec="seconds")
        how = "killed" if turn.killed else "restored"
        typer.echo(f"{turn.name}  {how} at {at} by {turn.by}: {turn.reason}")
    if not turns:
        typer.echo("no switch was ever used")


def kill(name: Name, reason: Reason = "killed by hand", as_json: Json = False) -> None:
    """From now on nobody is answered by it: workers obey within two seconds.

    A target is left out of every plan (`target:*/cloud` for all use cases and endpoints); of a rollout's
    component everybody gets stable.

    \b
    Example: switchyard flags kill target:support/cloud/primary --reason "leaks prompts"
    """
    _turn(name, reason, as_json, killed=True)


def restore(name: Name, reason: Reason = "restored by hand", as_json: Json = False) -> None:
    """Take a kill back.

    \b
    Example: switchyard flags restore target:support/cloud/primary
    """
    _turn(name, reason, as_json, killed=False)


def _turn(name: str, reason: str, as_json: bool, *, killed: bool) -> None:
    from registry.promoting import who
    from registry.switches import Switches, Turn

    turn = Turn(
        name=name, killed=killed, at_s=time.time(), by=who(), reason=reason[:500] or "no reason given"
    )
    database = _database()
    try:
        Switches(database).turn(turn)
    finally:
        database.close()
    typer.echo(turn.model_dump_json() if as_json else f"{name} is {'killed' if killed else 'restored'}")


def _database() -> "RolloutDatabase":
    from registry.rollout_database import RolloutDatabase, RolloutSettings

    return RolloutDatabase(RolloutSettings().rollouts)
