"""`switchyard audit retain`: takes out what retention no longer allows to be kept."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from services.errors import ConfigError


def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    now: Annotated[
        str | None, typer.Option(help="As if it were this time (ISO 8601, UTC); default: this machine's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Take expired contents out of journal and database, by each use case's `retention:`. What remains is a
    tombstone that a signed record names. Exit code 1 where something could not be finished.

    Example: switchyard audit retain --dry-run
    """
    from services.evidence.retain import summary
    from services.evidence.running import retain_home

    outcomes = retain_home(_time(now), dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **summary(outcomes)}))
    else:
        verb = "would be taken" if dry_run else "were taken"
        typer.echo(f"{sum(outcome.removed for outcome in outcomes)} contents {verb} out")
        for outcome in outcomes:
            for seq in outcome.skipped:
                typer.echo(f"{outcome.file}: record {seq} is kept: its time says no zone, or is none")
            if outcome.removed or outcome.left:
                typer.echo(
                    f"{outcome.file}: {outcome.removed}" + (f"; {outcome.left}" if outcome.left else "")
                )
    unfinished = (o.skipped or "evidence" in (o.left or "") or "database" in (o.left or "") for o in outcomes)
    if any(unfinished):
        raise typer.Exit(1)


def _time(given: str | None) -> datetime:
    if given is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise ConfigError("now: expected a time such as 2026-12-31T00:00:00+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
