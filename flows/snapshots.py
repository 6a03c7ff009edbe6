"""A snapshot: rows from traffic that may be trained on, in a folder named by its content.

`snapshots/<use case>/<digest>/` holds `rows.parquet`, `snapshot.json` and `quarantine.parquet`. The digest
covers all but the time of making, so the same journal gives the same folder. DVC has it too
(`snapshot_versions.py`). It must not outlive `keep_until`, the first day on which a row's retention ends.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.errors import StepError
from flows.snapshot_versions import forget_version
from flows.steps.files import build_dir, fresh, locked, write_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
ROWS, QUARANTINE, NOTES = "rows.parquet", "quarantine.parquet", "snapshot.json"
_ABANDONED = timedelta(hours=1)
EXTRA = ("source", "tenant", "weak", "weight", "decision_id", "said_at")
"""Columns beside the use case's inputs and its label."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`rows` have the input fields, the label and `EXTRA`; `notes` are snapshot.json."""

    folder: Path
    rows: "pd.DataFrame"
    notes: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return str(self.notes["digest"])


def snapshots_dir(usecase: str, root: Path | None = None) -> Path:
    """Where the snapshots of a use case lie."""
    return (root or Path("snapshots")) / usecase


def write_snapshot(
    base: Path, rows: "pd.DataFrame", quarantine: "pd.DataFrame", notes: Mapping[str, Any], made_at: str
) -> Snapshot:
    """Write it whole or not at all; one that is there already is left as it is."""
    from flows.steps.prepare import rows_digest

    described = {
        **notes,
        "format_version": FORMAT,
        "rows_sha256": rows_digest(rows),
        "quarantine_sha256": rows_digest(quarantine),
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    folder = base / digest
    if not (folder / NOTES).is_file():
        making = fresh(base / f".{digest}")
        rows.to_parquet(making / ROWS, index=False)
        quarantine.to_parquet(making / QUARANTINE, index=False)
        write_json(making / NOTES, {**described, "digest": digest, "made_at": made_at})
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    return read_snapshot(folder)


def read_snapshot(folder: Path, now: datetime | None = None) -> Snapshot:
    """Read and check one. Raises `StepError` when it is damaged, of another form, or, at `now`, too old."""
    import pandas as pd

    from flows.steps.prepare import rows_digest

    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
        rows = pd.read_parquet(folder / ROWS)
    except (OSError, ValueError) as error:
        raise StepError(f"snapshot {folder.name[:12]} cannot be read; curate again") from error
    if notes.get("format_version") != FORMAT:
        got = notes.get("format_version")
        raise StepError(f"snapshot {folder.name[:12]}: expected format {FORMAT}, got {got}; curate again")
    if notes["digest"] != folder.name or rows_digest(rows) != notes["rows_sha256"]:
        raise StepError(f"snapshot {folder.name[:12]} is not what its name says; curate again")
    until = notes.get("keep_until")
    if now is not None and until is not None and datetime.fromisoformat(until) <= now:
        raise StepError(f"snapshot {folder.name[:12]} holds rows whose retention is over; curate again")
    return Snapshot(folder, rows, notes)


def newest_snapshot(base: Path, now: datetime) -> Snapshot | None:
    """The one that was made last and may still be used; None when there is none."""
    found = []
    for notes in base.glob(f"*/{NOTES}"):
        try:
            found.append(read_snapshot(notes.parent, now))
        except StepError:
            continue
    return max(found, key=lambda one: str(one.notes["made_at"]), default=None)


def drop_expired(base: Path, now: datetime, build_root: Path | None = None) -> int:
    """Remove snapshots that hold rows whose retention is over, with what DVC and trainings hold of them, and
    those that cannot say when it is; returns how many. Killed anywhere, the next run finishes."""
    for left in base.glob(".*/"):  # what a killed curation was writing
        if datetime.fromtimestamp(left.stat().st_mtime, UTC) + _ABANDONED < now:
            shutil.rmtree(left)
    gone = 0
    for notes in base.glob(f"[!.]*/{NOTES}"):
        folder, until = notes.parent, _keep_until(notes)
        if until is None or until > now:
            continue
        with suppress(StepError):  # one that is being trained on goes the next time
            for build in build_dir(base.name, "x", build_root).parent.glob(f"*-{folder.name[:12]}"):
                with locked(build):
                    shutil.rmtree(build)
            forget_version(folder)
            for file in (ROWS, QUARANTINE):
                (folder / file).unlink(missing_ok=True)
            shutil.rmtree(folder)  # the notes, by which it is found, last
            gone += 1
    return gone


def _keep_until(notes: Path) -> datetime | None:
    try:
        until = json.loads(notes.read_text(encoding="utf-8")).get("keep_until")
        return None if until is None else datetime.fromisoformat(until)
    except (ValueError, AttributeError, TypeError):  # a damaged file
        return datetime.min.replace(tzinfo=UTC)
