"""The reviewed random sample with what the journal says of each decision: the rows of `services.what_if`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.chain import from_line
from services.evidence.running import open_decisions
from services.review_desk import open_reviews
from services.settings import ServiceSettings
from services.state.decisions import Decisions
from services.state.reviews import ReviewStore, SampledReview
from services.what_if import Logged

_LOCAL = "local"


@dataclass(frozen=True, slots=True)
class WhatIfRows:
    """`model`: the local model of the newest decision, to which all rows belong: confidences of two models do
    not compare. `left_out`: why -> how many decisions of the sample are no rows."""

    rows: list[Logged]
    model: str | None
    left_out: Mapping[str, int]


def read_rows(
    settings: ServiceSettings, usecase: str, now: datetime, days: int, tenant: str | None = None
) -> WhatIfRows:
    """Rows of the last so many days. Raises `StateUnavailable`."""
    since = (now - timedelta(days=days)).isoformat()
    with open_reviews(settings) as database:
        reviews = ReviewStore(database).sampled_reviews(usecase, since, tenant)
    with open_decisions(settings) as database:
        lines = Decisions(database).lines([one.decision_id for one in reviews])
    return join(reviews, lines)


def join(reviews: list[SampledReview], lines: Mapping[str, str]) -> WhatIfRows:
    """Each review with its decision's line, by the decision's id."""
    left_out: Counter[str] = Counter()
    found: list[tuple[str, str | None, Logged]] = []
    for review in reviews:
        record = _record(lines.get(review.decision_id))
        if review.correct is None:
            left_out["not reviewed yet"] += 1
        elif record is None:
            left_out["not in the decisions database, or emptied by retention"] += 1
        else:
            asked = next((one for one in record["attempts"] if one["target"] == _LOCAL), None)
            row = _row(review, record, asked)
            if row is None:
                left_out["without the local model's confidence (recorded before it was kept)"] += 1
            elif row.right is None and row.local_right is None:
                left_out["the review does not tell what would have been right"] += 1
            else:
                found.append((record["ts"], (asked or {}).get("model"), row))
    newest = max(((ts, model) for ts, model, _ in found if model), default=None)
    model = newest[1] if newest else None
    rows = [row for _, its, row in found if its in (None, model)]
    if other := len(found) - len(rows):
        left_out["of another local model"] = other
    return WhatIfRows(rows, model, dict(left_out))


def _record(line: str | None) -> Mapping[str, Any] | None:
    if line is None:
        return None
    try:
        link = from_line(line.encode())
    except ValueError:
        return None
    return None if link.emptied else link.record


def _row(review: SampledReview, record: Mapping[str, Any], asked: Mapping[str, Any] | None) -> Logged | None:
    by_local = record["route"] == _LOCAL
    confidence = None if asked is None else asked.get("confidence")
    if asked is not None and confidence is None and asked["outcome"] in ("answered", "declined", "refused"):
        return None
    right = review.judged(review.answered)
    local = right if by_local else None
    if not by_local and confidence is not None and (label := asked and asked.get("label")) is not None:
        local = review.judged(str(label))
    return Logged(review.rate, confidence, local, right, by_local, record["cost_usd"])
