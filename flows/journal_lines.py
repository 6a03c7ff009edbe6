"""Reads the journal by its documented format (docs/adr/0006): whole lines that have the hashes they carry.

Whether a chain as a whole holds is what `switchyard audit verify` says; here a line that was changed, or
was left half-written, is no record. Never writes.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_checks.journal_columns import journal_files, raw_lines

_LINE = re.compile(
    rb'(\{"content_sha256":"([0-9a-f]{64})","kind":"([a-z]+)","prev":"[0-9a-f]{64}","seq":[0-9]+,"ts":"([^"\\]+)")'
    rb',"hash":"([0-9a-f]{64})","(content|removed)":(\{.*\})\}\n',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One record. `content` is None where retention took it out."""

    kind: str
    at: str  # ISO 8601, UTC
    content: Mapping[str, Any] | None


def read_lines(folder: Path, kind: str) -> Iterator[Line | None]:
    """All records of that kind, oldest file first and packed ones too; None for a changed or a torn line."""
    wanted = f'"kind":"{kind}"'.encode()
    for file in journal_files(folder):
        for raw in raw_lines(file):
            if wanted in raw[:120]:
                yield parse(raw)


def parse(raw: bytes) -> Line | None:
    """A complete line as a record; None when it is not what the journal wrote."""
    parts = _LINE.fullmatch(raw)
    if parts is None:
        return None
    head, body = parts[1] + b"}", parts[7]
    if hashlib.sha256(head).hexdigest().encode() != parts[5]:
        return None
    content: Mapping[str, Any] | None = None
    if parts[6] == b"content":
        if hashlib.sha256(body).hexdigest().encode() != parts[2]:
            return None
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return Line(parts[3].decode(), parts[4].decode(), content)
