"""Commands of this room: `switchyard usecase check|list|new` and `switchyard checks run`."""

import json
from typing import Annotated, Any, Literal

import typer

from feature_checks.contract_cases import load_cases, load_recorded
from feature_checks.errors import CheckFailed, UseCaseError
from feature_checks.usecase import UseCase, list_usecases, load_usecase, usecases_dir

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def commands(root: typer.Typer) -> None:
    """Add this room's commands to the command tree."""
    usecase = typer.Typer(help="Use-case folders: check, list, start a new one.", no_args_is_help=True)
    usecase.command("check")(check)
    usecase.command("list")(show)
    usecase.command("new")(new)
    root.add_typer(usecase, name="usecase")
    checks = typer.Typer(help="Is this data fit to use?", no_args_is_help=True)
    checks.command("run")(run)
    root.add_typer(checks, name="checks")


def check(
    name: Annotated[str | None, typer.Argument(help="A use case; all of them when left out.")] = None,
) -> None:
    """Check use-case folders: keys, types, files they name. Data is checked by `checks run`.

    \b
    Example: switchyard usecase check support
    """
    names = [name] if name else list_usecases()
    if not names:
        raise UseCaseError(f"{usecases_dir()}/: no use case here; expected folders with a usecase.yaml")
    broken = 0
    for each in names:
        try:
            found = load_usecase(each)
            load_cases(found)
            load_recorded(found)
            typer.echo(f"{each}: good, version {found.version}, plan {' -> '.join(found.plan)}")
        except UseCaseError as error:
            broken += 1
            typer.echo(f"{each}: {error}", err=True)
    if broken:
        raise typer.Exit(1)


def show(as_json: Json = False) -> None:
    """List all use cases.

    \b
    Example: switchyard usecase list --json
    """
    rows = [_row(name) for name in list_usecases()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo(f"no use case in {usecases_dir()}/; see `switchyard usecase new --help`")
    else:
        for row in rows:
            typer.echo(f"{row['name']:<20} {row.get('error') or row['summary']}")
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def new(
    name: Annotated[str, typer.Argument(help="Name of the new use case.")],
    source: Annotated[str, typer.Option("--from", help="The use case to copy.")],
) -> None:
    """Start a use case by copying another one's folder; the model gets a name of its own.

    \b
    Example: switchyard usecase new helpdesk --from support
    """
    from feature_checks.scaffold import new_usecase

    made = new_usecase(name, source)
    typer.echo(f"{made.root}/ made from '{source}'. Next:")
    typer.echo(f"  1. put your rows into {made.root}/{made.data.sample} and change usecase.yaml to fit")
    typer.echo(f"  2. switchyard usecase check {name} && switchyard checks run {name}")
    typer.echo(f"  3. switchyard train {name}")


def run(
    name: Annotated[str, typer.Argument(metavar="USECASE", help="The use case whose data to check.")],
    data: Annotated[Literal["sample", "full"], typer.Option(help="Which data.")] = "sample",
    as_json: Json = False,
) -> None:
    """Run the data gate alone: what failed, on which lines, against which bound. Exit code 1 if any.

    \b
    Example: switchyard checks run support --data full
    """
    from feature_checks.datasets import data_files, default_cache_dir
    from feature_checks.gate import gate_files

    usecase: UseCase = load_usecase(name)
    files = data_files(usecase, data, default_cache_dir())
    try:
        report, _ = gate_files(usecase, files)
    except CheckFailed as failed:
        if not as_json:
            raise
        typer.echo(json.dumps(failed.report.to_dict(), indent=2))
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
        return
    counts = ", ".join(f"{n:,} {split}" for split, n in report.counts.items())
    typer.echo(f"{name}: {data} data is fit to use: all {len(report.results)} checks passed ({counts} rows)")
    for note in report.notes:
        typer.echo(f"  note: {note}")


def _row(name: str) -> dict[str, Any]:
    try:
        found = load_usecase(name)
    except UseCaseError as error:
        return {"name": name, "error": str(error)}
    return {
        "name": name,
        "summary": found.summary,
        "version": found.version,
        "plan": list(found.plan),
        "model": found.local.model if found.local else None,
        "labels": len(found.labels) if found.local else 0,
    }
