"""What the workers of a started server take: memory, as Linux counts it."""

import os
from pathlib import Path

_PROC = Path("/proc")


def worker_memory_mib() -> float:
    """Resident memory of the largest process below this one (a worker, of all that a server starts), in MiB.

    Shared pages count in full. Linux only; 0 elsewhere.
    """
    if not _PROC.is_dir():
        return 0.0
    parents, resident = _read()
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return max((resident.get(pid, 0.0) for pid in below - {os.getpid()}), default=0.0)


def _read() -> tuple[dict[int, int], dict[int, float]]:
    parents: dict[int, int] = {}
    resident: dict[int, float] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "status").read_text()
            except OSError:
                continue  # it has ended
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            parents[int(folder.name)] = int(fields["PPid"])
            if "VmRSS" in fields:
                resident[int(folder.name)] = int(fields["VmRSS"].split()[0]) / 1024
    return parents, resident
