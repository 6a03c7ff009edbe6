"""How much personal data is found, how much else is taken for it, and what that costs.

`python -m bench.redaction` prints JSON, and exits with 1 when a bound is broken; `--table` prints the
tables of docs/privacy.md.
"""

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.labelled import Labelled, make, make_harmless
from feature_checks.datasets import default_cache_dir
from feature_checks.errors import DatasetError
from feature_checks.fetching import fetch_file
from feature_checks.usecase import load_usecase
from services.privacy.detect import Detector, build_detector

SEED = 20261122
PER_CELL = 60  # messages for each kind and locale
MIN_RECALL = {"card": 0.98, "iban": 0.98, "email": 0.98, "national_id": 0.98, "ip": 0.98,
              "phone": 0.95, "birth_date": 0.95}  # fmt: skip
MAX_FALSE_POSITIVES = 0.005
MAX_MS = {"nothing": 0.1, "five_kinds": 3.0}

TIMED = {
    "nothing": "I still have not received my new card, it was ordered over a week ago and nobody tells me "
    "where it is. Could you please look into it for me?",
    "five_kinds": "Hi, card 4111 1111 1111 1111, IBAN GB82 WEST 1234 5698 7654 32, mail a.b@example.com, "
    "phone 07911 123456, ip 10.1.2.3, thanks!",
}


@dataclass
class Count:
    """Labelled spans: all, found as their kind, covered by whatever was found."""

    labelled: int = 0
    found: int = 0
    covered: int = 0


def recall(detector: Detector, messages: Iterable[Labelled]) -> dict[str, Count]:
    """Counts by kind, by `kind/locale`, and by `kind/disguised`.

    Found: one span of the right kind covers all of the labelled one. Covered: spans of any kind do.
    """
    counts: dict[str, Count] = defaultdict(Count)
    for message in messages:
        spans = detector.scan(message.text)
        found = any(
            span.kind == message.kind and span.start <= message.start and message.end <= span.end
            for span in spans
        )
        left = {place for place in range(message.start, message.end) if not message.text[place].isspace()}
        left.difference_update(*(range(span.start, span.end) for span in spans))
        keys = [message.kind, f"{message.kind}/{message.locale}"]
        for key in [*keys, f"{message.kind}/disguised"] if message.trick else keys:
            counts[key].labelled += 1
            counts[key].found += found
            counts[key].covered += not left
    return dict(counts)


def false_positives(detector: Detector, texts: Sequence[str]) -> float:
    """Share of messages in which anything is found."""
    return sum(bool(detector.scan(text)) for text in texts) / len(texts)


def banking77() -> list[str] | None:
    """BANKING77's test messages, or None where they cannot be had. They hold no personal data."""
    full = load_usecase("support").data.full
    assert full is not None
    try:
        file = fetch_file(full.test, default_cache_dir(), 20)
    except DatasetError:
        return None
    with Path(file).open(encoding="utf-8", newline="") as stream:
        return [row["text"] for row in csv.DictReader(stream)]


def scan_ms(detector: Detector, text: str, rounds: int = 400) -> dict[str, float]:
    """Milliseconds of one scan: the median, and the least (what a busy machine cannot add to)."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        detector.scan(text)
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    return {"median": round(times[len(times) // 2], 4), "least": round(times[0], 4)}


def measure() -> dict[str, Any]:
    """Everything, as printed."""
    before = _resident_mib()
    start = time.perf_counter()
    detector = build_detector()
    built = {"build_s": round(time.perf_counter() - start, 2), "added_mib": round(_resident_mib() - before)}
    texts = banking77()
    return {
        "seed": SEED,
        "recall": {key: asdict(count) for key, count in recall(detector, make(SEED, PER_CELL)).items()},
        "false_positives": {
            "banking77_test": None if texts is None else false_positives(detector, texts),
            "made_harmless": false_positives(detector, make_harmless(SEED, 3000)),
        },
        "scan_ms": {name: scan_ms(detector, text) for name, text in TIMED.items()},
        "detector": built,
    }


def broken(result: Mapping[str, Any]) -> list[str]:
    """The bounds that do not hold."""
    problems = []
    for kind, least in MIN_RECALL.items():
        found = result["recall"][kind]["found"] / result["recall"][kind]["labelled"]
        if found < least:
            problems.append(f"recall of {kind}: {found:.4f} < {least}")
    wrong = result["false_positives"]["banking77_test"]
    if wrong is not None and wrong > MAX_FALSE_POSITIVES:
        problems.append(f"false positives on BANKING77: {wrong:.4f} > {MAX_FALSE_POSITIVES}")
    for name, most in MAX_MS.items():
        if (median := result["scan_ms"][name]["median"]) > most:
            problems.append(f"scan of '{name}': {median} ms > {most}")
    return problems


def table(result: Mapping[str, Any]) -> str:
    """The tables of docs/privacy.md."""
    lines = [
        "| kind | labelled | found as that kind | covered | disguised: found | bound |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    counts = result["recall"]
    for kind in sorted(key for key in counts if "/" not in key):
        one, tricks = counts[kind], counts.get(f"{kind}/disguised")
        hidden = f"{tricks['found']} of {tricks['labelled']}" if tricks else "–"
        bound = f"≥ {MIN_RECALL[kind]}" if kind in MIN_RECALL else "–"
        lines.append(
            f"| `{kind}` | {one['labelled']} | {one['found'] / one['labelled']:.4f} "
            f"| {one['covered'] / one['labelled']:.4f} | {hidden} | {bound} |"
        )
    wrong, times, built = result["false_positives"], result["scan_ms"], result["detector"]
    banking = "not at hand" if wrong["banking77_test"] is None else f"{wrong['banking77_test']:.2%}"
    lines += [
        "",
        "| what else | value | bound |",
        "|---|--:|--:|",
        f"| BANKING77 test messages with anything found | {banking} | ≤ 0.5 % |",
        f"| made messages full of amounts, dates and order numbers | {wrong['made_harmless']:.2%} | – |",
        f"| scan of a message with nothing in it, median | {times['nothing']['median']} ms | ≤ 0.1 ms |",
        f"| scan of a message with five kinds in it, median | {times['five_kinds']['median']} ms | ≤ 3 ms |",
        f"| building the detector | {built['build_s']} s, {built['added_mib']} MiB | – |",
    ]
    return "\n".join(lines)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--table", action="store_true", help="print the tables of docs/privacy.md")
    as_table = arguments.parse_args().table
    result = measure()
    problems = broken(result)
    sys.stdout.write(
        (table(result) if as_table else json.dumps({**result, "broken": problems}, indent=1)) + "\n"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
