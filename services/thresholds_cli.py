"""`switchyard thresholds`: what moved the local model's threshold above the calibrated one, and moving it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from feature_checks.cost_spec import CostSpec
    from registry.thresholds import Thresholds
    from services.adjusting import Verdict
    from services.settings import ServiceSettings

thresholds = typer.Typer(no_args_is_help=True, help="Thresholds that follow cost, within the team's bounds.")

Name = Annotated[str, typer.Argument(help="Name of the use case.")]
Home = Annotated[Path | None, typer.Option(help="State folder; default: SWITCHYARD_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def threshold_commands(root: typer.Typer) -> None:
    """Add `switchyard thresholds`."""
    root.add_typer(thresholds, name="thresholds")


@thresholds.command()
def adjust(
    usecase: Name,
    days: Annotated[int, typer.Option(min=1, help="Decisions of the last so many days.")] = 30,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Move the threshold where reviewed decisions say that it is better or cheaper (`local.cost`).

    At most once in `every_hours`; never below the calibrated threshold. Workers follow within two seconds.

    Example: switchyard thresholds adjust support --dry-run
    """
    from registry.thresholds import Change
    from services.adjusting import waiting

    settings, model, spec = _asked(usecase, home)
    digest, floor = _served(settings, model)
    kept = _kept(settings)
    changes = kept.history(usecase)
    mine = changes[-1] if changes and changes[-1].model == digest else None
    current = max(floor, min(mine.threshold, spec.highest)) if mine else floor
    verdict = _verdict(settings, usecase, days, digest, spec, floor, current)
    early = waiting(spec, changes[-1].at_s if changes else None, time.time())
    changed = verdict.threshold is not None and early is None and not dry_run
    if changed and verdict.threshold is not None:
        kept.change(
            Change(
                use_case=usecase, model=digest, threshold=verdict.threshold, at_s=time.time(),
                by="switchyard thresholds adjust", reason=verdict.reason[:500], figures=dict(verdict.figures),
            ),
            len(changes),
        )  # fmt: skip
    found = {
        "use_case": usecase, "model": digest, "calibrated": floor, "current": current, "changed": changed,
        "threshold": verdict.threshold, "reason": verdict.reason, "waits": early,
        "figures": dict(verdict.figures),
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{usecase}: calibrated {floor:.4g}, in force {current:.4g}")
    if verdict.threshold is None:
        typer.echo(f"stays: {verdict.reason}")
    elif changed:
        typer.echo(f"now {verdict.threshold:.4g}: {verdict.reason}")
    else:
        typer.echo(f"would be {verdict.threshold:.4g}: {verdict.reason}")
        typer.echo(f"not changed: {early or 'asked with --dry-run'}")


@thresholds.command()
def show(usecase: Name, home: Home = None, as_json: Json = False) -> None:
    """Every change that was made, oldest first, with who made it and on which figures.

    Example: switchyard thresholds show support
    """
    settings, _, _ = _asked(usecase, home)
    changes = _kept(settings).history(usecase)
    if as_json:
        typer.echo(json.dumps([change.model_dump() for change in changes]))
        return
    for change in changes:
        at = datetime.fromtimestamp(change.at_s, UTC).isoformat(timespec="seconds")
        to = f"{change.threshold:.4g}" if change.threshold else "the calibrated one"
        typer.echo(f"{at}  model {change.model[:12]}  {to}  by {change.by}: {change.reason}")
    if not changes:
        typer.echo("never changed: the calibrated threshold is in force")


@thresholds.command()
def reset(
    usecase: Name,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the change.")] = "reset by hand",
    home: Home = None,
) -> None:
    """Back to the calibrated threshold at once; by hand there is no waiting.

    Example: switchyard thresholds reset support --reason "cloud budget cut"
    """
    from registry.promoting import who
    from registry.thresholds import Change

    settings, model, _ = _asked(usecase, home)
    digest, floor = _served(settings, model)
    kept = _kept(settings)
    change = Change(
        use_case=usecase, model=digest, threshold=0.0, at_s=time.time(), by=who(), reason=reason[:500] or "-"
    )
    kept.change(change, len(kept.history(usecase)))
    typer.echo(f"{usecase}: the calibrated threshold {floor:.4g} is in force")


def _asked(name: str, home: Path | None) -> "tuple[ServiceSettings, str, CostSpec]":
    """Raises `ConfigError` for a use case without `local.cost`."""
    from feature_checks.usecase import load_usecase
    from services.errors import ConfigError
    from services.settings import load_settings

    settings = load_settings(**({} if home is None else {"home": home}))
    usecase = load_usecase(name, settings.usecases_dir)
    if usecase.local is None or usecase.local.cost is None:
        raise ConfigError(
            f"{name}/usecase.yaml has no `local.cost`, so its threshold stays the calibrated one; expected "
            "`cost: {usd_per_1000: 1.0, highest: 0.95}` under `local:` (docs/guides/reviews.md)"
        )
    return settings, usecase.local.model, usecase.local.cost


def _served(settings: "ServiceSettings", model: str) -> tuple[str, float]:
    """Digest and calibrated threshold of the model that serves; verified anew."""
    from registry.loading import load_placed
    from registry.placing import CHAMPION
    from registry.settings import RegistrySettings

    loaded = load_placed(model, CHAMPION, RegistrySettings(home=settings.home))
    return loaded.ref.digest, loaded.acceptance.threshold


def _kept(settings: "ServiceSettings") -> "Thresholds":
    from registry.rollout_database import RolloutDatabase
    from registry.thresholds import Thresholds

    return Thresholds(RolloutDatabase(settings.rollouts))


def _verdict(
    settings: "ServiceSettings",
    name: str,
    days: int,
    digest: str,
    spec: "CostSpec",
    floor: float,
    current: float,
) -> "Verdict":
    from services.adjusting import Verdict, decide
    from services.keys import utc_now
    from services.what_if import frontier
    from services.what_if_rows import read_rows

    read = read_rows(settings, name, utc_now(), days)
    if read.model is not None and read.model != digest:
        return Verdict(None, "the reviewed decisions are of another model than the one that serves now", {})
    wanted = [floor, current, spec.highest]
    return decide(frontier(read.rows, wanted, points=50, against=current), spec, floor, current)
