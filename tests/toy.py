"""Two tiny use cases for tests, one of text and one of numbers, written into a folder."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

LABELS = ("lost", "late", "broken")
OUTSIDE = "elsewhere"
_OPENINGS = (
    "hello there", "good morning", "quick question", "i am upset", "please help", "once again", "my order",
    "the box", "for two weeks", "since monday", "as a customer", "to whoever reads this", "sorry but", "well",
    "excuse me", "urgent", "no idea why", "my neighbour says", "honestly", "long story",
)  # fmt: skip
_ENDINGS = {
    "lost": "it never came and nobody knows where it is",
    "late": "it should have been here days ago",
    "broken": "it arrived in pieces and cannot be used",
}

Row = tuple[object, ...]


def text_rows(per_label: int = 20, outside: int = 6) -> list[Row]:
    """(text, label) rows, all different."""
    rows: list[Row] = [
        (f"{_OPENINGS[i]}, {_ENDINGS[label]}", label) for label in LABELS for i in range(per_label)
    ]
    return rows + [(f"{_OPENINGS[i]}, what is the weather like?", OUTSIDE) for i in range(outside)]


def write_csv(file: Path, rows: Iterable[Sequence[object]], header: Sequence[str] = ("text", "kind")) -> Path:
    """A CSV file with a header."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return file


def write_text_usecase(
    folder: Path, name: str = "parcels", rows: Iterable[Row] | None = None, **changes: Any
) -> Path:
    """A use case with one text field and three labels; `changes` replace top-level keys."""
    described: dict[str, Any] = {
        "name": name,
        "summary": "Where is my parcel?",
        "data": {"sample": "data/rows.csv", "min_rows_per_label": 5},
        "input": {"text": {"type": "string", "min_length": 1, "max_length": 80}},
        "output": {"kind": {"type": "string", "values": "labels.txt"}},
        "label": "kind",
        "local": {
            "model": f"{name}-kind",
            "kind": "toy",
            "risk": {"max_error": 0.2, "confidence": 0.9},
            "outside": OUTSIDE,
        },
        "plan": ["local", "safe_default"],
        "safe_default": {"kind": OUTSIDE},
        **changes,
    }
    return _write(folder / name, described, text_rows() if rows is None else rows, ("text", "kind"))


def number_rows(per_label: int = 20) -> list[Row]:
    """(amount, hour, label): small sums are fine, large ones at night are not."""
    fine: list[Row] = [(10 + i, i % 24, "fine") for i in range(per_label)]
    return fine + [(900 + i, i % 5, "odd") for i in range(per_label)]


def write_number_usecase(folder: Path, name: str = "sums", rows: Iterable[Row] | None = None) -> Path:
    """A use case of two numbers, without rows that no label fits."""
    described = {
        "name": name,
        "summary": "Is this sum odd?",
        "data": {"sample": "data/rows.csv", "min_rows_per_label": 5},
        "input": {
            "amount": {"type": "number", "minimum": 0, "maximum": 1000},
            "hour": {"type": "integer", "minimum": 0, "maximum": 23},
        },
        "output": {"verdict": {"type": "string", "values": "labels.txt"}},
        "label": "verdict",
        "local": {"model": f"{name}-verdict", "kind": "toy", "risk": {"max_error": 0.2, "confidence": 0.9}},
        "plan": ["local", "safe_default"],
        "safe_default": {"verdict": "odd"},
    }
    header = ("amount", "hour", "verdict")
    return _write(folder / name, described, number_rows() if rows is None else rows, header, ("fine", "odd"))


def _write(
    root: Path,
    described: dict[str, Any],
    rows: Iterable[Row],
    header: Sequence[str],
    labels: Sequence[str] = LABELS,
) -> Path:
    root.mkdir(parents=True)
    (root / "usecase.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    (root / "policy.cedar").write_text("permit (principal, action, resource);\n", encoding="utf-8")
    (root / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    write_csv(root / described["data"]["sample"], rows, header)
    return root
