"""What a measurement found: figures with their bounds, and the raw numbers, as a table and as a file."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

RESULTS = Path("bench-results")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `bound` is what it should keep to, as `sense` says; None: shown for comparison."""

    name: str
    value: float
    bound: float | None = None
    sense: Literal["at most", "at least"] = "at most"

    @property
    def met(self) -> bool:
        if self.bound is None:
            return True
        return self.value <= self.bound if self.sense == "at most" else self.value >= self.bound

    def line(self) -> str:
        if self.bound is None:
            return f"{self.name:58}{self.value:9.2f}"
        said = "yes" if self.met else "NO"
        return f"{self.name:58}{self.value:9.2f}   {self.sense} {self.bound:<8g}{said}"


@dataclass(frozen=True, slots=True)
class Found:
    """What one measurement found; `raw` is JSON-like."""

    name: str
    figures: tuple[Figure, ...]
    raw: dict[str, Any] = field(repr=False)


def table(found: Iterable[Found]) -> str:
    """One line a figure: name, value, bound, kept or not."""
    lines = [f"{'':58}{'measured':>9}   {'asked':<17}kept"]
    for one in found:
        lines += ["", one.name, *("  " + figure.line()[:56] + figure.line()[58:] for figure in one.figures)]
    return "\n".join(lines) + "\n"


def save(found: Iterable[Found]) -> Path:
    """Write a new file under `bench-results/`."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "load_1m_5m_15m": os.getloadavg(),
        },
        "found": [
            {"name": o.name, "figures": [asdict(f) | {"met": f.met} for f in o.figures], "raw": o.raw}
            for o in found
        ],
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"bench-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(content, indent=1) + "\n")
    return file
