"""The hash chain of a journal file: how a record becomes a line, and how a file is checked. No writing here.

A line is canonical JSON (sorted keys, no spaces) of the record, with `"hash"` put last: the SHA-256
of that JSON without it. `prev` is the hash of the record before, `seq` counts from 0, and record 0 is
a header that names its own file. So any change, removal or swap inside a file shows. Two things a
chain alone cannot show, a cut tail and a file rehashed as a whole: for these, `anchors` give hashes
that are known from elsewhere (a receipt, the next file's header, a checkpoint).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import ChainBroken

GENESIS = "0" * 64
FORMAT = 1
_END = re.compile(rb',"hash":"([0-9a-f]{64})"}')
_END_BYTES = len(b',"hash":""}') + 64
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

Anchors = Mapping[int, str]
"""Record number -> its hash, known from elsewhere."""


@dataclass(frozen=True, slots=True)
class Link:
    """One record as it stands in a file."""

    record: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """A file whose chain holds. `torn_bytes` is the length of a last line that a dying worker left
    half-written; such a record was never answered."""

    file: str
    records: int  # the header included
    head_seq: int
    head_hash: str
    torn_bytes: int
    header: Mapping[str, Any]


def to_line(record: Mapping[str, Any]) -> tuple[bytes, str]:
    """The line for a record (not empty, without a key `hash`), newline included, and its hash."""
    body = _encode(record).encode("utf-8")
    digest = hashlib.sha256(body).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body[:-1], digest.encode()), digest


def from_line(line: bytes) -> Link:
    """A complete line back to its record. Raises ValueError when it is not what `to_line` wrote."""
    text = line.removesuffix(b"\n")
    end = _END.fullmatch(text, max(0, len(text) - _END_BYTES))
    if end is None:
        raise ValueError("is not a journal record")
    body = text[: end.start()] + b"}"
    claimed = end[1].decode()
    if hashlib.sha256(body).hexdigest() != claimed:
        raise ValueError("was changed: its content does not have the hash that it carries")
    record = json.loads(body)
    if not isinstance(record, dict):
        raise ValueError("is not a journal record")
    return Link(record, claimed)


def verify_chain(file: Path, anchors: Anchors | None = None) -> ChainReport:
    """Check a whole file. Raises `ChainBroken`, which names the first bad record and what is wrong."""
    expected, prev, torn = 0, GENESIS, 0
    header: Mapping[str, Any] = {}
    for line in _lines(file):
        if not line.endswith(b"\n"):
            torn = _torn_tail(file, expected, line)
            break
        try:
            link = from_line(line)
        except ValueError as error:
            raise ChainBroken(file.name, expected, str(error)) from None
        _check_place(file, link, expected, prev)
        if expected == 0:
            header = _checked_header(file, link)
        if anchors and anchors.get(expected, link.hash) != link.hash:
            raise ChainBroken(file.name, expected, "was rewritten: its known hash is another one")
        prev, expected = link.hash, expected + 1
    if anchors and (beyond := [seq for seq in anchors if seq >= expected]):
        message = f"is missing: the file ends before it, and {len(beyond)} known records are gone"
        raise ChainBroken(file.name, min(beyond), message)
    return ChainReport(file.name, expected, expected - 1, prev, torn, header)


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        yield from stream


def _torn_tail(file: Path, seq: int, line: bytes) -> int:
    """Length of a half-written line; a whole record with something behind it was changed."""
    if (end := _END.search(line)) is not None and end.end() < len(line):
        raise ChainBroken(file.name, seq, "was changed: it does not end as records end")
    return len(line)


def _check_place(file: Path, link: Link, expected: int, prev: str) -> None:
    seq = link.record.get("seq")
    if seq == expected and link.record.get("prev") == prev:
        return
    if seq == expected:
        raise ChainBroken(file.name, expected, "does not follow the record before it: one was replaced")
    if isinstance(seq, int) and seq > expected and expected not in _later_numbers(file):
        raise ChainBroken(file.name, expected, f"was removed: record {seq} stands in its place")
    raise ChainBroken(file.name, expected, f"was moved: record {seq} stands in its place")


def _later_numbers(file: Path) -> set[int]:
    numbers: set[int] = set()
    for line in _lines(file):
        try:
            numbers.add(from_line(line).record["seq"])
        except (ValueError, KeyError):
            continue
    return numbers


def _checked_header(file: Path, link: Link) -> Mapping[str, Any]:
    record = link.record
    if record.get("kind") != "header" or record.get("format") != FORMAT:
        raise ChainBroken(file.name, 0, f"expected a header of format {FORMAT}")
    if record.get("file") != file.name:
        raise ChainBroken(file.name, 0, f"the file was renamed: its header says {record.get('file')}")
    return record
