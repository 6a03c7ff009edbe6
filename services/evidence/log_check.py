"""Checks the signed log over all places that hold it: what is trusted, and what was done to it.

A log is whole when every entry is signed by a known key, stands at its number, and names the one before
it. The places must agree; the log's own folder is written first, so it may not lack what a copy holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.errors import ReceiptRefused
from services.evidence.entries import LogEntry, entry_digest, verify_entry
from services.evidence.signed_log import log_files

Place = Mapping[str, Mapping[int, str]]
"""Log -> number -> signed entry."""


@dataclass(frozen=True, slots=True)
class CheckedLog:
    """Trusted entries, whatever place they were found in, and every problem by name."""

    entries: tuple[LogEntry, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def read_place(folder: Path) -> dict[str, dict[int, str]]:
    """The logs in a folder; a half-written last line is left out."""
    found: dict[str, dict[int, str]] = {}
    for file in log_files(folder):
        lines = file.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
        found[file.stem] = dict(enumerate(lines))
    return found


def check_log(own: Place, copies: Mapping[str, Place], jwks: Mapping[str, Any]) -> CheckedLog:
    """`own` is the log's own folder; `copies` are named as problems shall name them."""
    problems: list[str] = []
    notes: list[str] = []
    places = {"checkpoints/": own, **copies}
    entries: dict[tuple[str, int], LogEntry] = {}
    digests: dict[tuple[str, int], str] = {}
    for place, logs in places.items():
        for log, lines in logs.items():
            for n, signed in lines.items():
                where = f"{place}: entry {n} of {log}"
                if digests.get((log, n)) == entry_digest(signed):
                    continue
                try:
                    entry = verify_entry(signed, jwks)
                except ReceiptRefused as refused:
                    problems.append(f"{where} was altered or forged: {refused.message}")
                    continue
                if (entry.log, entry.n) != (log, n):
                    problems.append(f"{where} was moved: it is entry {entry.n} of {entry.log}")
                elif (log, n) in digests:
                    problems.append(f"{where} differs from that in another place, though both are signed")
                else:
                    entries[log, n], digests[log, n] = entry, entry_digest(signed)
    problems += _chain_problems(entries, digests)
    for place, logs in copies.items():
        _compare(place, own, logs, problems, notes)
    ordered = tuple(entries[key] for key in sorted(entries))
    return CheckedLog(ordered, tuple(problems), tuple(notes))


def _chain_problems(
    entries: Mapping[tuple[str, int], LogEntry], digests: Mapping[tuple[str, int], str]
) -> list[str]:
    problems = []
    for (log, n), entry in sorted(entries.items()):
        if n == 0 and entry.prev is None:
            if log.split("-")[0] != "00000001":
                problems.append(f"entry 0 of {log} names no log before it: that one was removed")
            continue
        if n == 0 and isinstance(entry.prev, Mapping):
            before = (str(entry.prev.get("log")), int(entry.prev.get("n", -1)))
            expected = entry.prev.get("sha256")
        else:
            before, expected = (log, n - 1), entry.prev
        if digests.get(before) != expected:
            what = "was altered" if before in digests else "was removed"
            problems.append(f"entry {before[1]} of {before[0]} {what}: entry {n} of {log} names another")
    return problems


def _compare(place: str, own: Place, copy: Place, problems: list[str], notes: list[str]) -> None:
    for log, lines in copy.items():
        missing = sorted(lines.keys() - own.get(log, {}).keys())
        if missing:
            what = "with its whole file" if log not in own else f"from entry {missing[0]} on"
            problems.append(f"checkpoints/: {log} was removed {what}: {place} still holds it")
    behind = sum(len(lines.keys() - copy.get(log, {}).keys()) for log, lines in own.items())
    if behind:
        notes.append(f"{place} lacks {behind} entries that checkpoints/ holds")
