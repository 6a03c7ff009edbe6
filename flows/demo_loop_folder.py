"""The small use case of the demo's loop: a few labels of a sample, and a few more kept for later."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.usecase import UseCase
from flows.embedding import text_inputs

KNOWN, NEW = 16, 4
USUAL = 8
"""Messages of each known label that are traffic, and no training rows."""
RISK = {"max_error": 0.03, "confidence": 0.9}
PROMOTION = {"max_loss": 0.1, "confidence": 0.9, "slice_max_loss": 0.4}
"""What a few hundred rows can prove."""

Message = tuple[Mapping[str, object], str]


@dataclass(frozen=True, slots=True)
class SmallCase:
    """`usual` and `shifted` are messages with their true labels; none is among the `trained_on` rows."""

    name: str
    known_labels: tuple[str, ...]
    new_labels: tuple[str, ...]
    trained_on: int
    usual: tuple[Message, ...]
    shifted: tuple[Message, ...]


def make_small(usecase: UseCase, place: Path) -> SmallCase | None:
    """Write `<place>/usecases/<name>-loop` and what its commands read; None where there are no texts."""
    import pandas as pd

    if usecase.local is None or usecase.features is not None or not text_inputs(usecase):
        return None
    data = load_labelled(usecase, "sample", default_cache_dir())
    rows = pd.concat([data.train, data.test], ignore_index=True)
    labels = sorted(rows[usecase.label].unique())
    if len(labels) < KNOWN + NEW:
        return None
    known, new = labels[:KNOWN], labels[KNOWN : KNOWN + NEW]
    of_known = rows[rows[usecase.label].isin(known)]
    usual = of_known.groupby(usecase.label, sort=True).head(USUAL)
    trained = of_known.drop(index=usual.index)
    name = f"{usecase.name}-loop"
    folder = place / "usecases" / name
    shutil.copytree(usecase.root, folder)
    (folder / "usecase.yaml").write_text(yaml.safe_dump(_described(usecase, name), sort_keys=False))
    columns = [*usecase.input, usecase.label]
    trained[columns].to_csv(folder / "data.csv", index=False, lineterminator="\n")
    if Path("params.yaml").is_file():
        shutil.copyfile("params.yaml", place / "params.yaml")
    (place / ".dvc").mkdir()
    (place / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    shifted = rows[rows[usecase.label].isin(new)]
    return SmallCase(
        name, tuple(known), tuple(new), len(trained), _messages(usual, usecase), _messages(shifted, usecase)
    )


def _described(usecase: UseCase, name: str) -> dict[str, Any]:
    """The use case's own description with less in it: no cloud model, and what few rows can prove."""
    raw: dict[str, Any] = yaml.safe_load((usecase.root / "usecase.yaml").read_text(encoding="utf-8"))
    for key in ("cloud", "stale", "contract", "promotion", "slo", "features"):
        raw.pop(key, None)
    local = {key: raw["local"][key] for key in ("kind", "outside") if key in raw["local"]}
    return {
        **raw,
        "name": name,
        "data": {"sample": "data.csv", "min_rows_per_label": 10},
        "local": {
            **local,
            "model": f"{raw['local']['model']}-loop",
            "risk": RISK,
        },
        "plan": [step for step in raw["plan"] if step not in ("cloud", "stale", "cache")],
        "promotion": PROMOTION,
        "review": {"when": ["low_confidence"], "sample_rate": 0.2, "max_queue": 500},
        "learning": {"purposes": ["service"], "tenant_share": 1.0},
        "monitoring": {"window": 120, "min_rows": 50, "cooldown_hours": 0},
    }


def _messages(rows: Any, usecase: UseCase) -> tuple[Message, ...]:
    return tuple(
        ({name: row[name] for name in usecase.input}, str(row[usecase.label]))
        for row in rows.to_dict("records")
    )
