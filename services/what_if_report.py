"""`switchyard evaluate <usecase> --what-if`: the cost-quality frontier as figures and as a picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from services.what_if import FEWEST, Point, frontier
from services.what_if_rows import WhatIfRows

if TYPE_CHECKING:
    from feature_checks.risk_spec import RiskSpec

CONFIDENCE = 0.95


def what_if_command(
    name: str, days: int, tenant: str | None, plot: Path | None, home: Path | None, as_json: bool
) -> None:
    """Print (and draw) what other thresholds of a use case would have cost. Raises `ConfigError`."""
    from feature_checks.usecase import load_usecase
    from services.errors import ConfigError
    from services.keys import utc_now
    from services.settings import load_settings
    from services.what_if_rows import read_rows

    settings = load_settings(**({} if home is None else {"home": home}))
    usecase = load_usecase(name, settings.usecases_dir)
    if usecase.local is None:
        raise ConfigError(f"{name} has no local model, so there is no threshold to ask about")
    if problem := of_each_label(usecase.local.risk):
        raise ConfigError(f"{name}/usecase.yaml: {problem}")
    read = read_rows(settings, name, utc_now(), days, tenant)
    points = frontier(read.rows, confidence=CONFIDENCE)
    if plot is not None and points:
        draw(points, name, plot)
    if as_json:
        typer.echo(json.dumps(as_plain(name, days, read, points)))
    else:
        _print(name, days, read, points, plot)


def of_each_label(risk: "RiskSpec | None") -> str | None:
    """Why one threshold for all answers says nothing of this use case, or None."""
    if risk is None or not risk.by_label:
        return None
    named = ", ".join(sorted(risk.by_label))
    return (
        f"`local.risk.by_label` gives {named} a threshold each, and what-if moves one for all answers: its "
        "figures would be of a plan that nobody serves; without --what-if the whole plan is replayed"
    )


def as_plain(name: str, days: int, read: WhatIfRows, points: list[Point]) -> dict[str, Any]:
    """As `--json` has it."""
    return {
        "use_case": name,
        "days": days,
        "model": read.model,
        "confidence": CONFIDENCE,
        "reviewed": len(read.rows),
        "left_out": dict(read.left_out),
        "points": [asdict(point) for point in points],
    }


def draw(points: list[Point], name: str, file: Path) -> None:
    """The frontier as an SVG (or what the file's suffix says). Raises `ConfigError` without matplotlib."""
    from services.errors import ConfigError

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot needs matplotlib; install the extra `train`, or leave --plot out") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    usd = [point.usd_per_1000.mean for point in points]
    axes.fill_between(
        usd, [p.worst for p in points], [p.best for p in points], alpha=0.12,
        label="whatever is true of what was not seen",
    )  # fmt: skip
    means = [point.correct.mean for point in points]
    below = [p.correct.mean - p.correct.low for p in points]
    above = [p.correct.high - p.correct.mean for p in points]
    axes.errorbar(usd, means, yerr=[below, above], fmt="o-", capsize=3, label=f"estimate, {CONFIDENCE:.0%}")
    for point in points[:: max(1, len(points) // 6)]:
        axes.annotate(f"{point.threshold:.3g}", (point.usd_per_1000.mean, point.correct.mean), fontsize=8)
    axes.set(
        xlabel="USD for 1,000 answers", ylabel="share of answers that is right",
        title=f"{name}: what another threshold would have cost (its value beside each point)",
    )  # fmt: skip
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the picture cannot be written ({error}); name a file such as frontier.svg"
        ) from None


def _print(name: str, days: int, read: WhatIfRows, points: list[Point], plot: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{name}: {len(read.rows)} reviewed decisions of the random sample, last {days} days")
    for why, n in read.left_out.items():
        console.print(f"left out: {n} {why}")
    if not points:
        console.print(
            f"Too few to say anything: expected {FEWEST} or more. Set `review.sample_rate` and review what "
            "waits (`docs/guides/reviews.md`), or look back further with --days."
        )
        return
    table = Table(
        "threshold", "local", "right", "whatever is true", "USD / 1,000", "assumed", box=None, pad_edge=False
    )
    for point in points:
        usd, right = point.usd_per_1000, point.correct
        table.add_row(
            f"{point.threshold:.4g}",
            f"{point.local_share:.1%}",
            f"{right.mean:.1%} ({right.low:.1%}-{right.high:.1%})",
            f"{point.worst:.1%}-{point.best:.1%}",
            f"{usd.mean:.3f} ({usd.low:.3f}-{usd.high:.3f})",
            f"{point.assumed:.1%}",
        )
    console.print(table)
    console.print(
        "assumed: decisions whose answer at that threshold nobody saw; taken as their neighbours in "
        "confidence. The model's promise is not looked at here: below the calibrated threshold it is broken."
    )
    if plot is not None:
        console.print(f"picture: {plot}")
