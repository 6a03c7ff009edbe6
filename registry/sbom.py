"""A bill of materials (CycloneDX) of what serves: the locked environment, and verified models."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from registry.errors import RegistryError
from registry.packages import VerifiedPackage
from registry.records import ModelRef

TIMEOUT_S = 240.0


def bill_of_materials(lock: Path, models: Iterable[tuple[ModelRef, VerifiedPackage]]) -> dict[str, Any]:
    """The packages that `lock` pins, with their hashes, and each model with those of its files.

    A model is a `machine-learning-model` component whose SHA-256 is the package's digest: the one that
    receipts name. Raises `RegistryError` when the lock cannot be read.
    """
    made: dict[str, Any] = json.loads(_of_lock(lock))
    held = [_component(ref, package) for ref, package in dict(models).items()]
    made["components"] = [*made.get("components", []), *held]
    return made


def _component(ref: ModelRef, package: VerifiedPackage) -> dict[str, Any]:
    files = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for name, digest in sorted(package.files.items())
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model-{ref.name}-{ref.version}",
        "name": ref.name,
        "version": str(ref.version),
        "hashes": [{"alg": "SHA-256", "content": package.digest}],
        "properties": [{"name": "switchyard:signer", "value": package.key_id}],
        "components": files,
    }


def _of_lock(lock: Path) -> str:
    if not lock.is_file():
        raise RegistryError(f"{lock.name}: expected a lock of pinned packages, got no such file")
    with tempfile.TemporaryDirectory(prefix="switchyard-sbom-") as scratch:
        written = Path(scratch) / "sbom.json"
        words = ["requirements", str(lock), "--output-format", "JSON", "--output-reproducible"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "cyclonedx_py", *words, "--output-file", str(written)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RegistryError(f"{lock.name}: no bill of materials within {TIMEOUT_S:g} s") from error
        if done.returncode or not written.is_file():
            why = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RegistryError(f"{lock.name}: cyclonedx-bom failed: {why[:300]}")
        return written.read_text(encoding="utf-8")
