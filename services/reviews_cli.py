"""`switchyard reviews estimate|hold`: how often each route is right; what curation held back, to people."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

reviews = typer.Typer(no_args_is_help=True, help="What reviewers found out.")


def review_commands(root: typer.Typer) -> None:
    """Add `switchyard reviews`."""
    root.add_typer(reviews, name="reviews")


@reviews.callback()
def _group() -> None:
    """What reviewers found out."""


@reviews.command()
def estimate(
    usecase: Annotated[str, typer.Argument(help="Name of the use case.")],
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone; default: all.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Decisions of the last so many days.")] = 30,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Correctness of each route, with an interval, from the random sample (`review.sample_rate`).

    Example: switchyard reviews estimate support --days 7
    """
    from feature_checks.usecase import load_usecase
    from services.keys import utc_now
    from services.review_desk import open_reviews
    from services.review_estimates import correctness_by_route
    from services.settings import load_settings
    from services.state.reviews import ReviewStore

    settings = load_settings()
    load_usecase(usecase, settings.usecases_dir)  # says which ones there are
    since = (utc_now() - timedelta(days=days)).isoformat()
    with open_reviews(settings) as database:
        store = ReviewStore(database)
        estimates = correctness_by_route(store.sampled(usecase, since, tenant), confidence)
        counts = store.tallies(usecase, tenant)
    if as_json:
        found = {one.route: asdict(one) for one in estimates}
        typer.echo(json.dumps({"confidence": confidence, "days": days, "routes": found, "queue": counts}))
        return
    for one in estimates:
        reviewed = f"{one.reviewed} of {one.drawn} sampled reviewed"
        if one.correctness is None:
            typer.echo(f"{one.route}: not known; {reviewed}")
        else:
            span = f"{one.low:.1%} to {one.high:.1%} at {confidence:.0%}"
            typer.echo(f"{one.route}: {one.correctness:.1%} right ({span}); {reviewed}")
    typer.echo("queue: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))


@reviews.command()
def hold(usecase: Annotated[str, typer.Argument(help="Name of the use case.")]) -> None:
    """Rows that curation holds back, a JSON object a line on standard input, become reviews. It is what
    `switchyard curate` calls.

    Example: switchyard reviews hold support < held.jsonl
    """
    from feature_checks.usecase import load_usecase
    from services.errors import InputError
    from services.hash_key import load_hash_key
    from services.keys import utc_now
    from services.quarantine import held_item
    from services.review_desk import open_reviews
    from services.settings import load_settings
    from services.state.reviews import ReviewStore

    settings = load_settings()
    described = load_usecase(usecase, settings.usecases_dir)
    counts = {"enqueued": 0, "repeated": 0, "dropped": 0, "unusable": 0}
    with open_reviews(settings) as database:
        store, key = ReviewStore(database), load_hash_key(settings.keys_dir)
        for line in sys.stdin:
            try:
                row = json.loads(line)
                item = held_item(row if isinstance(row, dict) else {}, described, key, utc_now())
            except (ValueError, InputError):
                counts["unusable"] += 1
                continue
            done = store.enqueue(item, described.review.max_queue)
            counts["repeated" if done.repeated else "enqueued"] += 1
            counts["dropped"] += done.dropped
    typer.echo(json.dumps(counts))
