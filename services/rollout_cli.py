"""`switchyard rollout start|export`: lets a change begin, and hands a configuration to its team."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from registry.rollout_cli import ROLLOUT, ComponentName, Json, Reason

Folder = Annotated[
    Path | None, typer.Option(help="cloud, config: the changed copy of the use-case folder that is to come.")
]


def commands(root: typer.Typer) -> None:
    """Add to the group `rollout`, which the registry's own commands made."""
    group = next(g.typer_instance for g in root.registered_groups if g.name == ROLLOUT)
    if group is None:
        raise RuntimeError("the group `rollout` comes first")
    group.command("start")(start)
    group.command("export")(export)


def start(
    component: ComponentName,
    candidate: Annotated[
        str | None, typer.Option(help="The version that is to come: a model's, or a kept configuration's.")
    ] = None,
    candidate_folder: Folder = None,
    stable: Annotated[
        str | None, typer.Option(help="What it is compared with; what serves now by default.")
    ] = None,
    steps: Annotated[str, typer.Option(help="Percent of requests, ascending, 100 last.")] = "5,25,50,100",
    mode: Annotated[
        Literal["full", "canary", "shadow"],
        typer.Option(help="full: shadow, then canary; canary: no shadow; shadow: no further by itself."),
    ] = "full",
    guard: Annotated[
        Path | None, typer.Option(help="A YAML file with what it is held to; else the usual guard.")
    ] = None,
    reason: Reason = "started by hand",
    as_json: Json = False,
) -> None:
    """Start a rollout of a model, of what is asked of cloud models, or of a whole configuration.

    What moves it on is its numbers, or `promote`.

    \b
    Example: switchyard rollout start support/local --candidate 8 --steps 5,25,50,100
    Example: switchyard rollout start support/cloud --candidate-folder ../next --reason "new prompt"
    """
    from registry.promoting import who
    from registry.rollout_cli import show
    from registry.rollout_errors import RolloutRefused
    from registry.rollout_guard import DEFAULT_GUARD
    from registry.rollout_start import begin, model_sides, read_guard, read_steps
    from registry.rollout_store import Rollouts, RolloutSettings
    from services.rollouts.starting import PARTS, config_sides

    weights, part = read_steps(steps), component.partition("/")[2]
    asked = read_guard(guard) if guard else DEFAULT_GUARD
    settings = RolloutSettings()
    with Rollouts(settings.rollouts) as kept:
        if part in PARTS:
            sides, asked = config_sides(
                kept, settings, component, stable, candidate, candidate_folder, weights, asked, by=who()
            )
        elif part == "local" and candidate is not None and candidate_folder is None:
            sides = model_sides(component, stable, candidate, weights)
        elif part == "local":
            raise RolloutRefused("rollout not started: a local model's candidate is a version: --candidate N")
        else:
            raise RolloutRefused(
                "rollout not started: expected <usecase>/local, <usecase>/cloud or <usecase>/config"
            )
        rollout, record = begin(
            kept, component, sides, steps=weights, mode=mode, guard=asked, by=who(), reason=reason
        )
    show(rollout, [record], as_json)


def export(
    component: ComponentName,
    to: Annotated[Path, typer.Option(help="The folder to write: a new one, or the use case's own.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what shapes behaviour in a folder that is there.")
    ] = False,
) -> None:
    """Write the verified candidate of the last rollout of a configuration as a folder, for the team to keep.

    \b
    Example: switchyard rollout export support/config --to usecases/support --overwrite
    """
    from registry.rollout_store import Rollouts, RolloutSettings
    from services.rollouts.starting import write_candidate

    settings = RolloutSettings()
    with Rollouts(settings.rollouts) as kept:
        version = write_candidate(kept, settings, component, to, overwrite)
    typer.echo(f"configuration {version} is in {to}; look at the difference, and commit it")
