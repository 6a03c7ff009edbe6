"""What one model costs, measured in a process of its own, so that a trainer's memory is not the model's.

`python -m flows.contract.footprint` reads one JSON document on standard input (folder, manifest, runtime,
rows) and writes one: {"latency_ms", "memory_mb"}. Latency is that of one prediction on one thread: the
lowest of several medians, which a busy machine moves least. Memory is what opening the model and answering
added to the peak of the process.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.contract.subject import Subject
from registry.packages import PackageManifest
from registry.runtimes import RUNTIMES, completed

ROWS, ROUNDS = 30, 5
TIMEOUT_S = 120.0
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB here


@dataclass(frozen=True, slots=True)
class Footprint:
    latency_ms: float
    memory_mb: float


def measure(subject: Subject, timeout_s: float = TIMEOUT_S) -> Footprint | str:
    """The footprint of a model, or why it could not be measured."""
    asked = {
        "folder": str(subject.folder.absolute()),
        "manifest": dict(subject.manifest),
        "runtime": RUNTIMES[subject.kind],
        "rows": [dict(row) for row in subject.rows[:ROWS]],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "flows.contract.footprint"],
            input=json.dumps(asked, default=str).encode(),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)},
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            return f"it could not be measured: the process ended with code {done.returncode}"
        return Footprint(**json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return f"it could not be measured within {timeout_s:g} s"
    except (OSError, ValueError, TypeError) as error:
        return f"it could not be measured: {type(error).__name__}"


class _Files:
    def __init__(self, folder: Path, manifest: PackageManifest) -> None:
        self.manifest = manifest
        self._folder = folder

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


def _measured(asked: Mapping[str, Any]) -> Footprint:
    runtime: Any = import_module(asked["runtime"])
    manifest = PackageManifest.model_validate_json(json.dumps(asked["manifest"]))
    before = _peak_mb()
    package = _Files(Path(asked["folder"]), manifest)
    predictor = completed(runtime.open_package(package), package)
    rows = asked["rows"] or [{}]
    medians = []
    for _ in range(ROUNDS):
        took = []
        for row in rows:
            started = time.perf_counter()
            predictor.predict(row)
            took.append(time.perf_counter() - started)
        medians.append(statistics.median(took))
    return Footprint(round(min(medians) * 1000, 4), round(_peak_mb() - before, 1))


def _peak_mb() -> float:
    """The peak of this very program. What `getrusage` says on Linux begins with the peak of whoever started
    it, and a trainer's would hide the model's."""
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT / 1e6


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_measured(json.loads(sys.stdin.buffer.read())))))
