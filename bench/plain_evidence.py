"""Evidence of models that no training made: it names their files, says so, and claims nothing."""

import json
from pathlib import Path

from registry.contents import hash_files
from registry.evidence import CARD, STATEMENT
from registry.evidence_check import TYPE, UNNAMED


def write_plain_evidence(folder: Path) -> None:
    """The in-toto statement and the card of what lies in `folder`; sign after it."""
    files = {n: d for n, d in hash_files(folder, f"'{folder.name}'").items() if n not in UNNAMED}
    said = {
        "_type": TYPE,
        "subject": [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": {"buildType": "https://switchyard.invalid/no-training/v1"}},
    }
    (folder / STATEMENT).write_text(json.dumps(said))
    if not (folder / CARD).exists():
        (folder / CARD).write_text("# Made without training\n")
