"""Commands of this room: `switchyard registry list|verify|keys|revoke|log|sbom|follow`."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from registry.audit import CopyCheck, check_copies
from registry.sbom_cli import sbom
from registry.settings import RegistrySettings
from registry.trust_cli import revoke, show_keys, show_log

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def commands(root: typer.Typer) -> None:
    """Add this room's commands to the command tree."""
    registry = typer.Typer(help="Which model may be loaded: list and verify.", no_args_is_help=True)
    registry.command("list")(show)
    registry.command("verify")(verify)
    registry.command("keys")(show_keys)
    registry.command("revoke")(revoke)
    registry.command("log")(show_log)
    registry.command("sbom")(sbom)
    registry.command("follow")(follow)
    root.add_typer(registry, name="registry")


def show(as_json: Json = False) -> None:
    """List registered versions: aliases, digest, signer.

    This is what MLflow says, for reading; `verify` checks it.

    \b
    Example: switchyard registry list --json
    """
    from registry.store import Registry

    versions = Registry(RegistrySettings()).list_models()
    if as_json:
        typer.echo(json.dumps([_row(version) for version in versions], indent=2))
    elif not versions:
        typer.echo("no model is registered yet; run `switchyard train <usecase>`")
    else:
        _print(
            ("model", "version", "aliases", "digest", "registered", "signer"),
            [
                (
                    v.ref.name,
                    str(v.ref.version),
                    " ".join(v.aliases),
                    v.ref.digest[:12],
                    v.registered_at,
                    v.key_id,
                )
                for v in versions
            ],
        )


def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[USECASE|MODEL]", help="A use case or registered model; all when left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify anew every copy behind an alias.

    Both those that MLflow stores and those placed on this machine. Exit code 1 when any copy differs
    from what a trusted key signed, or cannot be read.

    \b
    Example: switchyard registry verify support
    """
    from registry.store import Registry

    settings = RegistrySettings()
    checks = check_copies(name, settings, Registry(settings))
    failed = [check for check in checks if check.error]
    if as_json:
        typer.echo(json.dumps([{**asdict(check), "ok": check.error is None} for check in checks], indent=2))
    else:
        _print(
            ("model", "alias", "copy", "version", "digest", "signer", "verdict"),
            [
                (
                    c.name,
                    c.alias,
                    c.where,
                    str(c.version or "-"),
                    (c.digest or "-")[:12],
                    c.key_id or "-",
                    _verdict(c),
                )
                for c in checks
            ],
        )
        for check in checks:
            if said := check.error or check.note:
                typer.echo(f"{check.name}@{check.alias} ({check.where}): {said}", err=bool(check.error))
    if failed:
        raise typer.Exit(1)


def follow(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Registered models that serve here.")
    ],
    alias: Annotated[str, typer.Option(help="Which alias to follow.")] = "champion",
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Place what MLflow's alias means on this machine, again whenever it moves, until Ctrl-C or SIGTERM.

    For replicas that share MLflow and not the state folder: run one beside the workers of each machine.

    \b
    Example: SWITCHYARD_MLFLOW_TRACKING_URI=postgresql://... switchyard registry follow support-intent
    """
    import signal
    import threading

    from registry.follow import Follower
    from registry.store import Registry

    settings, stop = RegistrySettings(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    follower = Follower(names, alias, settings, Registry(settings), lambda line: typer.echo(line, err=True))
    typer.echo(f"following {', '.join(names)} every {every:g} s", err=True)
    follower.run(every, stop)


def _verdict(check: CopyCheck) -> str:
    if check.error is None:
        return "verified"
    return "unreachable" if check.where == "mlflow" and check.version is None else "REFUSED"


def _row(version: Any) -> dict[str, Any]:
    return {
        "name": version.ref.name,
        "version": version.ref.version,
        "aliases": list(version.aliases),
        "digest": version.ref.digest,
        "registered_at": version.registered_at,
        "key_id": version.key_id,
        "use_case": version.use_case,
        "kind": version.kind,
        "run_id": version.run_id,
    }


def _print(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as their content: lines stay whole when a terminal is narrow or a script reads them."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    for line in (head, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
