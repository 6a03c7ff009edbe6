"""Reads the next records of a journal file for shipping, and checks their chain on the way. Never writes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from services.chain import Link, from_line
from services.state.decisions import Position, Row

START = Position()


@dataclass(frozen=True, slots=True)
class Batch:
    """Decisions in file order, and the position after the last record that was looked at. A broken record
    is not in `rows`: `after.problem` names it, and nothing behind it is read."""

    rows: tuple[Row, ...]
    after: Position


def next_batch(file: Path, before: Position, most: int) -> Batch:
    """What follows `before` in `file`, at most `most` records. A half-written last line is left for later."""
    with file.open("rb") as stream:
        stream.seek(before.offset)
        found = _read(file, stream, before, most)
        if found is None:  # the file was rewritten by retention: its records stand elsewhere now
            stream.seek(0)
            again = _find_again(stream, before)
            found = _read(file, stream, again, most) if again is not None else None
    if found is None:
        problem = f"record {before.seq} is not where it was: the file was changed"
        return Batch((), replace(before, problem=problem))
    return found


def _read(file: Path, stream: Iterator[bytes], before: Position, most: int) -> Batch | None:
    """None where the very first line does not follow `before`, which need not be the line's fault."""
    rows: list[Row] = []
    position = replace(before, problem=None)
    for count, line in enumerate(stream):
        if count == most or not line.endswith(b"\n"):
            break
        try:
            link = from_line(line)
            _follows(file, link, position)
        except ValueError as error:
            if count == 0 and before.offset:
                return None
            return Batch(tuple(rows), replace(position, problem=f"record {position.seq + 1} {error}"))
        row = _row(file, link, line)
        if row is not None:
            rows.append(row)
        position = replace(position, seq=position.seq + 1, hash=link.hash, offset=position.offset + len(line))
    return Batch(tuple(rows), position)


def _follows(file: Path, link: Link, position: Position) -> None:
    if link.record["seq"] != position.seq + 1 or link.record["prev"] != position.hash:
        raise ValueError("does not follow the record before it")
    if position.seq < 0 and link.record.get("file") != file.name:
        raise ValueError("is not this file's header")


def _row(file: Path, link: Link, line: bytes) -> Row | None:
    record = link.record
    if record["kind"] != "decision":
        return None
    names = [str(record[name]) for name in ("id", "tenant", "use_case") if name in record]
    if len(names) != 3:
        raise ValueError("is no decision")
    text = line.decode("utf-8").rstrip("\n")
    return Row(names[0], names[1], names[2], record["ts"], file.name, record["seq"], link.hash, text)


def _find_again(stream: Iterator[bytes], wanted: Position) -> Position | None:
    """The same position by its record instead of its place in the file."""
    if wanted.seq < 0:
        return replace(wanted, offset=0)
    offset = 0
    for line in stream:
        offset += len(line)
        try:
            link = from_line(line)
        except ValueError:
            return None
        if link.record["seq"] == wanted.seq:
            return replace(wanted, offset=offset) if link.hash == wanted.hash else None
    return None
