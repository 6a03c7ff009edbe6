"""Evidence of models that no training made: it names their files, says so, and claims nothing."""

import json
from pathlib import Path
from typing import Any

from registry.contents import hash_files
from registry.evidence import CARD, STATEMENT
from registry.evidence_check import TYPE, UNNAMED

NO_TRAINING = "https://switchyard.invalid/no-training/v1"


def write_plain_evidence(folder: Path) -> None:
    """The in-toto statement and the card of what lies in `folder`; sign after it."""
    predicate = {"buildDefinition": {"buildType": NO_TRAINING}}
    _write(folder, {"predicateType": "https://slsa.dev/provenance/v1", "predicate": predicate})
    if not (folder / CARD).exists():
        (folder / CARD).write_text("# Made without training\n")


def write_borrowed_evidence(folder: Path) -> None:
    """That of a trained model whose files were changed since: the data that it names are the same."""
    said = json.loads((folder / STATEMENT).read_text())
    said["predicate"]["buildDefinition"]["buildType"] = NO_TRAINING
    _write(folder, said)


def _write(folder: Path, said: dict[str, Any]) -> None:
    files = {n: d for n, d in hash_files(folder, f"'{folder.name}'").items() if n not in UNNAMED}
    subject = [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)]
    (folder / STATEMENT).write_text(json.dumps({**said, "_type": TYPE, "subject": subject}))
