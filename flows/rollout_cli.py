"""`switchyard rollout tick|controller`: the controller once, or as long as it is left running."""

import asyncio
import json
from contextlib import suppress
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def commands(root: typer.Typer) -> None:
    """Add to the group `rollout`, which the registry's own commands made."""
    group = next(g.typer_instance for g in root.registered_groups if g.name == "rollout")
    if group is None:
        raise RuntimeError("the group `rollout` comes first")
    group.command("tick")(tick)
    group.command("controller")(controller)


def tick(as_json: Json = False) -> None:
    """Judge every rollout that lives once, by what workers counted, and move it. May be repeated.

    \b
    Example: switchyard rollout tick --json
    """
    from flows.rollout_steps import one_tick
    from registry.promoting import who

    done, led = one_tick(by=f"controller of {who()}"[:128])
    if as_json:
        typer.echo(json.dumps({"rollouts": [one.shown() for one in done], "led": led}, indent=2))
        return
    for one in done:
        moved = one.record.move if one.record else one.verdict.outcome
        typer.echo(f"{one.rollout.component}: {moved}: {one.verdict.reason}")
    for component, said in led.items():
        typer.echo(f"{component}: {said}")
    if not done:
        typer.echo("no rollout is under way")


def controller(
    every_s: Annotated[float, typer.Option(min=1, help="Seconds from one tick to the next.")] = 5.0,
) -> None:
    """Tick on a schedule and on events, as a Prefect flow, until Ctrl-C. Any number may run.

    `prefect event emit switchyard.rollout` starts a tick at once.

    \b
    Example: switchyard rollout controller --every-s 5
    """
    from flows.surroundings import prefect_api
    from registry.settings import RegistrySettings

    with prefect_api(RegistrySettings().home) as wait_ready:
        from flows.rollout import control  # brings Prefect, which reads its settings on import

        wait_ready()
        typer.echo(f"ticking every {every_s:g} s; Ctrl-C stops", err=True)
        with suppress(KeyboardInterrupt):
            asyncio.run(control(every_s))
