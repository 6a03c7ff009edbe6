"""Candidates for rollouts and for the gate, good and bad, made from a model that is placed: signed, and real.

`python -m bench.candidates USECASE` registers two beside its champion, for whoever wants to see what the gate
says of them: one that makes the same guesses, and one that confuses two of every ten labels.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import onnx
from onnx import numpy_helper

from bench.plain_evidence import write_borrowed_evidence, write_plain_evidence
from bench.sample_model import Folder
from feature_checks.usecase import load_usecase
from registry.evidence import STATEMENT
from registry.keys import ensure_signing_keys
from registry.packages import MANIFEST
from registry.placing import CHAMPION, checked_package, placed_folder, placed_ref
from registry.records import ModelRef
from registry.settings import RegistrySettings
from registry.signing import sign_package
from registry.versions import place_version

SIGNATURE = "model.sig"

Change = Callable[[Path], None]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.candidates", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("usecase")
    usecase = load_usecase(parser.parse_args().usecase)
    if usecase.local is None:
        raise SystemExit(f"use case '{usecase.name}' has no local model")
    from registry.store import Registry

    settings = RegistrySettings()
    registry, ref = Registry(settings), placed_ref(usecase.local.model, CHAMPION, settings)
    tags = {"use_case": usecase.name, "made_by": parser.prog}
    with tempfile.TemporaryDirectory(prefix="switchyard-candidates-") as scratch:
        for what, change in (
            ("the same guesses", as_it_is),
            ("two of ten labels confused", wrong_in_a_fifth),
        ):
            folder = make_candidate(
                placed_folder(ref, settings), Path(scratch) / change.__name__, change, settings
            )
            made = registry.register(folder, ref.name, {}, tags)
            sys.stdout.write(f"{ref.name} version {made.version}: version {ref.version}'s model, {what}\n")
    return 0


def place_candidate(home: Path, before: ModelRef, version: int, scratch: Path, change: Change) -> ModelRef:
    """A copy of the placed version `before`, changed by `change`, signed by this home's key and placed."""
    settings = RegistrySettings(home=home)
    folder = scratch / f"candidate-{version}"
    placed = settings.models_dir / before.name / f"{before.version}-{before.digest[:12]}"
    make_candidate(placed, folder, change, settings)
    digest = checked_package(folder, before.name, settings, "candidate").digest
    ref = ModelRef(before.name, version, digest)
    place_version(ref, settings, Folder(folder, ref))
    return ref


def make_candidate(package: Path, folder: Path, change: Change, settings: RegistrySettings) -> Path:
    """The signed folder of such a copy."""
    copytree(package, folder)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    change(folder)
    for signature in folder.glob("*.sig*"):
        rmtree(signature) if signature.is_dir() else signature.unlink()
    write_borrowed_evidence(folder) if (folder / STATEMENT).exists() else write_plain_evidence(folder)
    sign_package(folder, ensure_signing_keys(settings.keys_dir).private_key)
    return folder


def as_it_is(folder: Path) -> None:
    """As good as stable."""
    (folder / "model_card.md").write_text("# The same again\n")


def wrong_in_a_fifth(folder: Path) -> None:
    """Of every ten labels two are confused with each other, always."""
    manifest = json.loads((folder / MANIFEST).read_text())
    labels = manifest["labels"]
    for first in range(0, len(labels) - 1, 10):
        labels[first], labels[first + 1] = labels[first + 1], labels[first]
    (folder / MANIFEST).write_text(json.dumps(manifest))


def no_number(folder: Path) -> None:
    """Every weight of the model is NaN."""
    for file in folder.rglob("*.onnx"):
        model = onnx.load(file)
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype in (np.float32, np.float64):
                tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, np.nan), tensor.name))
        onnx.save(model, file)


def outside_the_contract(folder: Path) -> None:
    """Labels that the use case does not have."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["labels"] = [f"label_{i}" for i in range(len(manifest["labels"]))]
    (folder / MANIFEST).write_text(json.dumps(manifest))


if __name__ == "__main__":
    sys.exit(main())
