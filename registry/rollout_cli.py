"""`switchyard rollout start|status|wait|promote|resume|abort`: a person's hand on the kept rollouts."""

import getpass
import json
import secrets
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.rollout_errors import RolloutRefused
from registry.settings import RegistrySettings

if TYPE_CHECKING:  # numpy and SQLAlchemy, which other commands need not wait for
    from registry.records import ModelRef, RegisteredVersion
    from registry.rollout import Record, Rollout
    from registry.rollout_store import Rollouts

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ComponentName = Annotated[str, typer.Argument(metavar="COMPONENT", help="<usecase>/local")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the move.")]


def commands(root: typer.Typer) -> None:
    """Add the group `rollout`."""
    group = typer.Typer(help="How a change reaches users: step by step, and back.", no_args_is_help=True)
    group.command("start")(start)
    group.command("status")(status)
    group.command("wait")(wait)
    group.command("promote")(promote)
    group.command("resume")(resume)
    group.command("abort")(abort)
    root.add_typer(group, name="rollout")


def start(
    component: ComponentName,
    candidate: Annotated[str, typer.Option(help="The version that is to come.")],
    stable: Annotated[
        str | None, typer.Option(help="What it is compared with; the champion by default.")
    ] = None,
    steps: Annotated[str, typer.Option(help="Percent of requests, ascending, 100 last.")] = "5,25,50,100",
    reason: Reason = "started by hand",
    as_json: Json = False,
) -> None:
    """Start a rollout in shadow. What moves it on is its numbers, or `promote`.

    \b
    Example: switchyard rollout start support/local --candidate 8 --steps 5,25,50,100
    """
    from pydantic import ValidationError

    from registry.rollout import Rollout, check_start, started

    versions = _versions(component)
    champion = next((v for v, registered in versions.items() if "champion" in registered.aliases), None)
    if (stable := stable or champion) is None:
        raise RolloutRefused(f"rollout of {component} not started: it has no champion; name --stable")
    weights = _weights(steps)
    contracts = dict.fromkeys(versions, "") | {
        version: _contract(versions[version]) for version in {stable, candidate} & versions.keys()
    }
    check_start(stable, candidate, weights, contracts, component)
    try:
        rollout = Rollout(
            id=secrets.token_hex(16), component=component, stable=stable, candidate=candidate, steps=weights,
            step_since_s=time.time(),
        )  # fmt: skip
    except ValidationError:
        raise RolloutRefused(
            "rollout not started: component or version has characters that none has"
        ) from None
    _place(versions[stable].ref, versions[candidate].ref)
    record = started(rollout, by=_who(), reason=reason)
    with _opened() as kept:
        kept.start(rollout, record)
    _print(rollout, [record], as_json)


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
            _print(rollout, kept.records(rollout.id), as_json)
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
    """End it at once: everybody is stable's again. May be repeated.

    \b
    Example: switchyard rollout abort support/local --reason "complaints"
    """
    _asked(component, "abort", reason, as_json)


def _asked(component: str, wish: str, reason: str, as_json: bool) -> None:
    from registry.rollout import Move
    from registry.rollout_moves import ask

    with _opened() as kept:
        rollout = ask(kept, component, Move(wish), by=_who(), reason=reason, at_s=time.time())
        records = kept.records(rollout.id)
    _print(rollout, records, as_json)


def _versions(component: str) -> "Mapping[str, RegisteredVersion]":
    """Versions of a component, newest first, as MLflow lists them; a worker verifies what it loads."""
    from registry.store import Registry

    usecase, _, part = component.partition("/")
    if part != "local":
        raise RolloutRefused(
            "rollout not started: expected <usecase>/local; other components' versions cannot be checked yet"
        )
    listed = Registry(RegistrySettings()).list_models()
    return {str(v.ref.version): v for v in listed if v.use_case == usecase and v.key_id}


def _place(*refs: "ModelRef") -> None:
    """Verified copies of both sides on this machine, before any worker asks for them."""
    from registry.store import Registry
    from registry.versions import place_version

    settings = RegistrySettings()
    for ref in refs:
        place_version(ref, settings, Registry(settings))


def _contract(version: "RegisteredVersion") -> str:
    """What a model may answer: the labels in its package, as MLflow stores it."""
    from registry.packages import MANIFEST, parse_manifest
    from registry.store import Registry

    with tempfile.TemporaryDirectory(prefix="switchyard-rollout-") as folder:
        package = Registry(RegistrySettings()).download(version.ref, Path(folder))
        try:
            manifest = parse_manifest((package / MANIFEST).read_bytes())
        except OSError as error:
            raise RolloutRefused(
                f"version {version.ref.version} has no readable {MANIFEST}; train it again"
            ) from error
    return json.dumps(sorted(manifest.labels))


def _weights(steps: str) -> tuple[float, ...]:
    try:
        return tuple(float(weight) for weight in steps.split(","))
    except ValueError:
        raise RolloutRefused("steps: expected percentages such as 5,25,50,100") from None


def _opened() -> "Rollouts":
    from registry.rollout_store import Rollouts, RolloutSettings

    return Rollouts(RolloutSettings().rollouts)


def _who() -> str:
    try:
        return f"operator {getpass.getuser()}"[:128]
    except (OSError, KeyError):  # a container's user may have no name
        return "operator"


def _print(rollout: "Rollout", records: "list[Record]", as_json: bool) -> None:
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
