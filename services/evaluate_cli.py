"""`switchyard evaluate <usecase>`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def evaluate_commands(root: typer.Typer) -> None:
    """Add the command `evaluate`."""
    root.command("evaluate")(evaluate_command)


def evaluate_command(
    usecase: Annotated[str, typer.Argument(metavar="USECASE", help="Which use case.")],
    data: Annotated[Literal["sample", "full"], typer.Option(help="Which labelled data.")] = "sample",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows of either kind.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Rows at work at once.")] = 4,
    home: Annotated[Path | None, typer.Option(help="State folder; default: SWITCHYARD_HOME.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="From logged, reviewed decisions: cost of other thresholds.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="--what-if: decisions of the last so many days.")] = 30,
    tenant: Annotated[str | None, typer.Option(help="--what-if: of this tenant alone.")] = None,
    plot: Annotated[Path | None, typer.Option(help="--what-if: draw it, for example frontier.svg.")] = None,
) -> None:
    """Replay labelled rows through the whole plan, journal and receipts included; or, with --what-if, say
    from logged decisions what other thresholds would have cost and how often they would have been right.

    Example: switchyard evaluate support --data full --json
    Example: switchyard evaluate support --what-if --days 14 --plot frontier.svg
    """
    if what_if:
        from services.what_if_report import what_if_command

        what_if_command(usecase, days, tenant, plot, home, as_json)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from services.evaluate import evaluate

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def progress(total: int) -> Callable[[], None]:
            task = bar.add_task(f"replaying {usecase}", total=total)
            return lambda: bar.advance(task)

        found = asyncio.run(evaluate(usecase, data, limit, concurrency, home, progress))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("route", "messages", "share", "correct", box=None, pad_edge=False)
    for route, figures in found["routes"].items():
        table.add_row(route, str(figures["count"]), _percent(figures["share"]), _percent(figures["correct"]))
    console.print(f"{found['use_case']}: {found['n']} labelled rows of the {found['data']} data")
    console.print(table)
    if found["accuracy"] is not None:
        console.print(
            f"local model alone: {_percent(found['accuracy'])} right; sure enough of "
            f"{_percent(found['local_coverage'])}, of which {_percent(found['local_error'])} wrong"
        )
    if found.get("average_precision") is not None:
        for name, figures in (("local model alone", found), ("plan", found["plan"])):
            shown = "; ".join(f"{metric} {_between(figures, metric)}" for metric in _METRICS)
            console.print(f"{name}: {shown}")
    outside = found["outside"]
    if outside["n"]:
        share = _percent(outside["local_share"])
        console.print(f"{outside['n']} rows that no label fits: {share} answered locally, each an error")
    times = " / ".join(f"{found['latency_ms'][name]} ms" for name in ("p50", "p95", "p99"))
    console.print(f"latency p50 / p95 / p99: {times}; {found['usd_per_1000']} USD for 1,000 answers")
    for target, why in found["missing"].items():
        console.print(f"left out: {target}: {why}")


_METRICS = ("roc_auc", "average_precision", "card_precision_at_100")


def _between(figures: dict[str, Any], metric: str) -> str:
    low_high = figures[f"{metric}_interval"]
    shown = f"{figures[metric]:.3f}"
    return f"{shown} ({low_high[0]:.3f} to {low_high[1]:.3f})" if low_high else shown


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"
