"""Brings what curation holds back to the review queue, so that a person decides; the snapshot keeps it too.

Asked of `switchyard reviews hold`, in a process of its own: reviews belong to the serving side, which flows
must not import. At most half of the queue at once, so that other reviews keep their place; a row that nobody
has settled comes again with the next curation.
"""

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase
from flows.snapshots import QUARANTINE, Snapshot

if TYPE_CHECKING:
    import pandas as pd

_TIMEOUT_S = 300


def ask_people(usecase: UseCase, snapshot: Snapshot) -> dict[str, Any]:
    """Enqueue the quarantined rows; returns counts, or `failed` with why: nothing is lost then."""
    import pandas as pd

    rows = held_rows(pd.read_parquet(snapshot.folder / QUARANTINE), usecase)
    now = rows[: usecase.review.max_queue // 2]
    later = len(rows) - len(now)
    if not now:
        return {"enqueued": 0, "later": later}
    command = [sys.executable, "-m", "switchyard", "reviews", "hold", usecase.name]
    lines = "".join(json.dumps(row) + "\n" for row in now)
    try:
        done = subprocess.run(
            command, input=lines, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
        return {**json.loads(done.stdout), "later": later}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {
            "failed": f"the review queue could not be reached ({type(error).__name__})",
            "later": len(rows),
        }


def held_rows(quarantine: "pd.DataFrame", usecase: UseCase) -> list[dict[str, Any]]:
    """Quarantined rows as `switchyard reviews hold` reads them."""
    found = []
    for row in json.loads(quarantine.to_json(orient="records")):
        fields = {name: row[name] for name in usecase.input if row.get(name) is not None}
        checks = [part.partition(":")[0] for part in row["why"].split("; ")]
        beside = {name: row[name] for name in ("decision_id", "tenant", "expires_at")}
        found.append({**beside, "fields": fields, "label": row[usecase.label], "checks": checks})
    return found
