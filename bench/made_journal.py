"""A journal of any length, as the service writes one: real record form, chained, of made decisions."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from services.chain import FORMAT, GENESIS, to_line

RECORDS_A_FILE = 50_000


def write_journal(
    folder: Path, usecase: UseCase, rows: Sequence[dict[str, Any]], count: int, seed: int = 0
) -> int:
    """`count` decisions on `rows` (input fields), drawn at random, a second apart; returns the bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)  # noqa: S311  — no secret
    start = datetime.now(UTC) - timedelta(seconds=count)
    labels, size = usecase.labels, 0
    for first in range(0, count, RECORDS_A_FILE):
        name = f"{(start + timedelta(seconds=first)):%Y%m%dT%H%M%S.%fZ}-1-{first:08x}.jsonl"
        with (folder / name).open("wb") as file:
            header = {"format": FORMAT, "file": name, "why": "start", "continues": None}
            line, prev = to_line("header", 0, start.isoformat(), GENESIS, header)
            size += file.write(line)
            for at in range(first, min(count, first + RECORDS_A_FILE)):
                moment = (start + timedelta(seconds=at)).isoformat()
                content = _decision(usecase, draw.choice(rows), draw.choice(labels), at, draw.random())
                line, prev = to_line("decision", at - first + 1, moment, prev, content)
                size += file.write(line)
    return size


def _decision(usecase: UseCase, fields: dict[str, Any], label: str, at: int, chance: float) -> dict[str, Any]:
    route = "local" if chance < 0.8 else "cloud/primary" if chance < 0.98 else "safe_default"
    attempt = {"target": route, "outcome": "answered", "reason": "made", "policy_ids": ["allow"],
               "latency_ms": 1.0, "cost_usd": 0.0, "model": "made"}  # fmt: skip
    return {
        "id": f"{at:032x}",
        "tenant": "bench",
        "use_case": usecase.name,
        "request": {"digest": f"{at:064x}", "fields": fields, "tags": ["user_content"], "subject": None,
                    "session": None, "residency": None, "purpose": None},
        "output": {usecase.label: label, "reply": "Thank you, a colleague will look into this for you. " * 3},
        "answer_digest": f"{at:064x}",
        "route": route,
        "confidence": chance,
        "degraded": False,
        "attempts": [attempt],
        "validators": ["output_schema"],
        "versions": {"config": usecase.version, "model": "made"},
        "cost_usd": 0.0,
    }  # fmt: skip
