"""Commands of this room: `switchyard demo | up | train | curate | monitor | retrain | stage | contract`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

Chapter = Literal["story", "rollouts", "loop"]
"""Chapters of the demo, as `flows.demo.CHAPTERS` tells them."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def commands(root: typer.Typer) -> None:
    """Add this room's commands to the command tree."""
    root.command("demo")(demo)
    root.command("up")(up)
    root.command("train")(train)
    root.command("curate")(curate)
    root.command("monitor")(monitor)
    root.command("retrain")(retrain)
    root.command("stage")(stage)
    contracts = typer.Typer(help="Do data, model and endpoints fit together?", no_args_is_help=True)
    contracts.callback()(lambda: None)  # so that `test` stays a word of its own
    contracts.command("test")(contract_test)
    root.add_typer(contracts, name="contract")


def demo(
    name: Annotated[
        str, typer.Argument(metavar="USECASE", help="The use case to show; else the first with a demo.yaml.")
    ] = "",
    data: Annotated[Literal["auto", "sample", "full"], typer.Option(help="Which data to train on.")] = "auto",
    labelled: Annotated[int, typer.Option(min=1, help="Labelled messages to send.")] = 240,
    outside: Annotated[int, typer.Option(min=0, help="Messages that no label fits, to send as well.")] = 24,
    only: Annotated[
        Chapter | None, typer.Option(help="Only this chapter, once all is trained and served.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the servers up until Ctrl-C.")] = False,
) -> None:
    """The whole story on this machine: train, serve, route, explain, redact, degrade.

    \b
    Example: switchyard demo --only story --keep
    """
    from rich.console import Console

    from flows import demo as chapters
    from flows.demo_stage import Wishes
    from flows.demo_traffic import first_to_show

    wishes = Wishes(labelled, outside)
    chapters.run(name or first_to_show(), data, wishes, only, keep, Console(highlight=False))


def up(
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect UI.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
    port: Annotated[int, typer.Option(help="Port of the orchestrator.")] = 3000,
    console_port: Annotated[int, typer.Option(help="Port of the console.")] = 3100,
    stand_in: Annotated[
        bool, typer.Option("--stand-in", help="A small model on this machine as the cloud endpoint.")
    ] = False,
) -> None:
    """Prefect, MLflow, orchestrator, console, schedules, automations, rollout controller; Ctrl-C stops all.

    \b
    Example: switchyard up --stand-in
    """
    from rich.console import Console

    from flows import up as servers

    servers.run(prefect_port, mlflow_port, port, console_port, stand_in, Console(highlight=False))


def train(
    name: Annotated[str, typer.Argument(metavar="USECASE", help="The use case whose local model to train.")],
    data: Annotated[
        Literal["auto", "sample", "full"],
        typer.Option(help="auto: the full data if it can be had within 10 s, else the sample."),
    ] = "auto",
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Skip steps that an earlier run of the same inputs finished.")
    ] = False,
    hold: Annotated[
        bool, typer.Option("--hold", help="Register only; `switchyard registry promote` decides later.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train, calibrate, sign and register a use case's local model, as a Prefect flow.

    Data that breaks the use case's contract stops it with a list of what failed where, exit code 1.

    \b
    Example: switchyard train support --data sample
    """
    from flows import train_command

    train_command.run(name, data, as_json, reuse, hold)


def curate(
    name: Annotated[str, typer.Argument(metavar="USECASE", help="The use case.")],
    data: Annotated[
        Literal["auto", "sample", "full"], typer.Option(help="Which base data the rows are added to.")
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Make a snapshot of what traffic and people's labels may teach, suspects quarantined.

    \b
    Example: switchyard curate support --data sample
    """
    from flows import curation_command

    curation_command.run(name, data, as_json)


def monitor(
    name: Annotated[str, typer.Argument(metavar="USECASE", help="The use case to look at.")],
    since: Annotated[
        str | None, typer.Option(help="Of the last 90m, 24h, 7d: a random sample of all decisions.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="The newest so many decisions; default: `monitoring.window`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Has the traffic moved away from what the local model was trained on? As a Prefect flow.

    \b
    Example: switchyard monitor support --window 500
    """
    from flows import monitor_command

    monitor_command.run(name, since, window, as_json)


def contract_test(
    name: Annotated[str, typer.Argument(metavar="USECASE", help="The use case whose contracts to test.")],
    alias: Annotated[str, typer.Option(help="Which placed version to test.")] = "champion",
    build: Annotated[
        Literal["sample", "full"] | None,
        typer.Option(help="Test what training on this data left in build/, instead of a placed version."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Test this registered version, before any alias means it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Test the contracts between data, model, orchestrator and cloud endpoints, as a Prefect flow.

    No cloud endpoint is asked: their answers are recorded or scripted. Exit code 1 when a check failed.

    \b
    Example: switchyard contract test support --version 8
    """
    from flows import contract_command

    if not contract_command.run(name, alias, build, version, as_json):
        raise typer.Exit(1)


def retrain(
    name: Annotated[
        str, typer.Argument(metavar="USECASE", help="The use case whose local model to retrain.")
    ],
    data: Annotated[
        Literal["auto", "sample", "full"], typer.Option(help="The base data, as `switchyard train` has it.")
    ] = "auto",
    snapshot: Annotated[
        Path | None, typer.Option(help="A folder that `switchyard curate` made; default: the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a candidate on the base data and a snapshot; into `shadow` if it is better, never champion.

    \b
    Example: switchyard retrain support --data sample
    """
    from flows import retrain_command

    retrain_command.run(name, data, snapshot, as_json)


def stage(
    step: Annotated[str, typer.Argument(metavar="STEP", help="fetch, check, prepare, fit, ...")],
    name: Annotated[str, typer.Argument(metavar="USECASE", help="The use case.")],
    data: Annotated[Literal["sample", "full"], typer.Option(help="Which data.")] = "sample",
    as_json: Json = False,
) -> None:
    """Run one step of training on files in build/; `dvc repro` runs them all this way.

    \b
    Example: switchyard stage fetch support --data sample
    """
    from flows.stages import run_stage

    found = run_stage(step, name, data)
    typer.echo(json.dumps(dict(found), indent=2) if as_json else f"{step}: done, see build/{name}/{data}/")
