"""`switchyard curate`: makes a snapshot, and says what is in it and what is not."""

import json
import sys
from typing import Literal

from rich.console import Console
from rich.table import Table

from feature_checks.datasets import choose_data, default_cache_dir
from feature_checks.usecase import load_usecase
from flows.curation import curate
from flows.held_back import ask_people
from flows.params import read_params
from flows.snapshot_versions import add_version
from flows.snapshots import Snapshot
from registry.settings import RegistrySettings


def run(name: str, data: Literal["auto", "sample", "full"], as_json: bool) -> None:
    """Curate use case `name`. Raises `StepError`, `DatasetError` or `CheckFailed`."""
    usecase = load_usecase(name)
    say = Console(stderr=True, highlight=False)
    which = data
    if which == "auto":
        which, reason = choose_data(usecase, default_cache_dir())
        say.print(f"Data: {reason}", soft_wrap=True)
    say.print("Reading the journal, and judging each label by models that did not see it ...")
    settings = RegistrySettings()
    snapshot = curate(
        usecase, which, settings.home / "journal", read_params(), keep_days=settings.retention_days
    )
    version = add_version(snapshot.folder)
    asked = ask_people(usecase, snapshot)
    if as_json:
        shown = {"folder": snapshot.folder.as_posix(), **snapshot.notes, "dvc": version, "reviews": asked}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return
    _show(snapshot, Console(highlight=False))
    said = (
        f"DVC {version['version']}, in {version['dvc']}" if "version" in version else version["unversioned"]
    )
    say.print(said, soft_wrap=True)
    if "failed" in asked:
        say.print(f"{asked['failed']}; the quarantined rows are kept in the snapshot", soft_wrap=True)


def _show(snapshot: Snapshot, console: Console) -> None:
    notes = snapshot.notes
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("rows to learn from", str(notes["counts"]["rows"]))
    table.add_row("of these weak", str(notes["counts"]["weak"]))
    table.add_row("quarantined", str(notes["quarantine"]["rows"]))
    for check, n in notes["quarantine"]["checks"].items():
        table.add_row(f"  {check}", str(n))
    for why, n in notes["left_out"].items():
        table.add_row(f"left out: {why}", str(n))
    console.print(table)
    console.print(f"{snapshot.folder}/", soft_wrap=True)
