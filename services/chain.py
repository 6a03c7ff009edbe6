"""The hash chain of a journal file: how a record becomes a line, and how a file is checked. No writing here.

    {"content_sha256":…,"kind":…,"prev":…,"seq":…,"ts":…,"hash":…,"content":{…}}

`hash` is the SHA-256 of the canonical JSON (sorted keys, no spaces) of what stands before it, and that
holds the digest of the content: so the chain stays whole where retention takes a content out and puts
`"removed":{…}` in its place (a *tombstone*). `prev` is the hash of the record before, `seq` counts from
0, and record 0 is a header that names its own file. Any change, removal or swap inside a file shows. Two
things a chain alone cannot show, a cut tail and a file rehashed as a whole: for these, `anchors` give
hashes that are known from elsewhere (a receipt, the next file's header, a checkpoint).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.errors import ChainBroken

GENESIS = "0" * 64
FORMAT = 1
_HEAD = (
    rb'(\{"content_sha256":"([0-9a-f]{64})","kind":"[a-z]+","prev":"[0-9a-f]{64}","seq":[0-9]+,"ts":"[^"\\]+")'
    rb',"hash":"([0-9a-f]{64})",'
)
_LINE = re.compile(_HEAD + rb'"content":(\{.*\})\}', re.DOTALL)
_TOMBSTONE = re.compile(_HEAD + rb'"removed":(\{.*\})\}', re.DOTALL)
_KEPT = ("id", "tenant", "use_case")  # what a tombstone still says of its record
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

Anchors = Mapping[int, str]
"""Record number -> its hash, known from elsewhere."""


@dataclass(frozen=True, slots=True)
class Link:
    """One record as it stands in a file: its content, and kind, seq, ts and prev beside it. Of a record
    that retention emptied, `record["removed"]` says when, why and by which signed event."""

    record: Mapping[str, Any]
    hash: str
    emptied: bool = False

    @property
    def removed(self) -> Mapping[str, Any] | None:
        removed: Mapping[str, Any] | None = self.record.get("removed") if self.emptied else None
        return removed


@dataclass(frozen=True, slots=True)
class Emptied:
    """The tombstones of one retention event in one file: their numbers, and SHA-256 over their lines."""

    seqs: tuple[int, ...]
    sha256: str


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
    emptied: Mapping[str, Emptied] = field(default_factory=dict)  # event -> its tombstones; not yet judged


def to_line(kind: str, seq: int, at: str, prev: str, content: Mapping[str, Any]) -> tuple[bytes, str]:
    """The line for a record, newline included, and its hash. `content` is JSON-like; `at` is ISO 8601."""
    body = _encode(content).encode("utf-8")
    digest = hashlib.sha256(body).hexdigest()
    # As canonical JSON has it; none of these holds a character that JSON would escape.
    head = f'{{"content_sha256":"{digest}","kind":"{kind}","prev":"{prev}","seq":{seq},"ts":"{at}"'.encode(
        "ascii"
    )
    own = hashlib.sha256(head + b"}").hexdigest()
    return b'%b,"hash":"%b","content":%b}\n' % (head, own.encode("ascii"), body), own


def to_tombstone(line: bytes, removed: Mapping[str, Any]) -> bytes:
    """A complete line without its content; `removed` says why. Raises ValueError as `from_line` does."""
    link = from_line(line)
    found = _LINE.fullmatch(line.removesuffix(b"\n"))
    if found is None:
        raise ValueError("is a tombstone already")
    kept = {name: link.record[name] for name in _KEPT if name in link.record}
    return b'%b,"hash":"%b","removed":%b}\n' % (found[1], found[3], _encode({**removed, **kept}).encode())


def from_line(line: bytes) -> Link:
    """A complete line back to its record. Raises ValueError when it is not what `to_line` wrote."""
    try:
        return _from_line(line)
    except RecursionError:
        raise ValueError("is nested deeper than any record") from None


def _from_line(line: bytes) -> Link:
    parts = _LINE.fullmatch(line.removesuffix(b"\n"))
    if parts is None:
        return _from_tombstone(line)
    head, body = parts[1] + b"}", parts[4]
    if _sha256(body) != parts[2] or _sha256(head) != parts[3]:
        raise ValueError("was changed: it does not have the hash that it carries")
    return Link({**json.loads(body), **json.loads(head)}, parts[3].decode("ascii"))


def _from_tombstone(line: bytes) -> Link:
    parts = _TOMBSTONE.fullmatch(line.removesuffix(b"\n"))
    if parts is None:
        raise ValueError("is not a journal record")
    head = parts[1] + b"}"
    removed = json.loads(parts[4])
    if _sha256(head) != parts[3] or not isinstance(removed.get("event"), str):
        raise ValueError("was changed: it does not have the hash that it carries")
    kept = {name: removed[name] for name in _KEPT if name in removed}
    record = {**kept, "removed": removed, **json.loads(head)}
    return Link(record, parts[3].decode("ascii"), emptied=True)


def verify_chain(file: Path, anchors: Anchors | None = None) -> ChainReport:
    """Check a whole file. Raises `ChainBroken`, which names the first bad record and what is wrong.

    Tombstones fit the chain by their heads; whether retention may have made them is for the caller to
    judge, from `ChainReport.emptied`.
    """
    expected, prev, torn = 0, GENESIS, 0
    header: Mapping[str, Any] = {}
    tombstones: dict[str, tuple[list[int], Any]] = {}
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
        if link.removed is not None:
            seqs, digest = tombstones.setdefault(link.removed["event"], ([], hashlib.sha256()))
            seqs.append(expected)
            digest.update(line)
        prev, expected = link.hash, expected + 1
    if anchors and (beyond := [seq for seq in anchors if seq >= expected]):
        message = f"is missing: the file ends before it, and {len(beyond)} known records are gone"
        raise ChainBroken(file.name, min(beyond), message)
    emptied = {
        event: Emptied(tuple(seqs), digest.hexdigest()) for event, (seqs, digest) in tombstones.items()
    }
    return ChainReport(file.name, expected, expected - 1, prev, torn, header, emptied)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode("ascii")


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        yield from stream


def _torn_tail(file: Path, seq: int, line: bytes) -> int:
    """Length of a half-written line; a whole record with something else behind it was changed."""
    try:
        from_line(line[:-1])
    except ValueError:
        return len(line)
    raise ChainBroken(file.name, seq, "was changed: it does not end as records end")


def _check_place(file: Path, link: Link, expected: int, prev: str) -> None:
    seq: int = link.record["seq"]
    if seq == expected and link.record["prev"] == prev:
        return
    if seq == expected:
        raise ChainBroken(file.name, expected, "does not follow the record before it: one was replaced")
    if seq > expected and expected not in _later_numbers(file):
        raise ChainBroken(file.name, expected, f"was removed: record {seq} stands in its place")
    raise ChainBroken(file.name, expected, f"was moved: record {seq} stands in its place")


def _later_numbers(file: Path) -> set[int]:
    numbers: set[int] = set()
    for line in _lines(file):
        try:
            numbers.add(from_line(line).record["seq"])
        except ValueError:
            continue
    return numbers


def _checked_header(file: Path, link: Link) -> Mapping[str, Any]:
    record = link.record
    if record["kind"] != "header" or record.get("format") != FORMAT:
        raise ChainBroken(file.name, 0, f"expected a header of format {FORMAT}")
    if record.get("file") != file.name:
        raise ChainBroken(file.name, 0, "the file was renamed: its header names another one")
    return record
