"""The journal's decisions as columns, a block at a time: for looking at a million of them in bounded memory.

Reads the files by their documented form (`docs/adr/0006-journal-and-receipts.md`), closed and packed ones
(`.jsonl.gz`) as well, and believes nothing of them: what was changed is for `audit verify` to find. It lives
here, since flows must read the journal and must not import the services that write it.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 16 * 1024 * 1024
FORMATS = (1,)
"""Versions of the journal that are read; each file's first record names its own."""


@dataclass(frozen=True, slots=True)
class Block:
    """Decisions of one use case: columns `id`, `ts` (ISO 8601, UTC), `route` and `confidence`, `label`
    (what was answered), `field.<name>` for each input, and `feature.<name>` for each declared feature, null
    where it could not be worked out. `lost` lines were decisions and are unreadable, `emptied` ones retention
    took the content of."""

    rows: "pa.Table"
    lost: int = 0
    emptied: int = 0


def journal_files(folder: Path) -> list[Path]:
    """Every file of the journal, oldest first by its name."""
    return sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")])


def raw_lines(file: Path) -> Iterator[bytes]:
    """The lines of one file of the journal, the last one torn perhaps; of a packed one, what unpacks."""
    with (
        gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream,
        suppress(EOFError, gzip.BadGzipFile, zlib.error),
    ):
        yield from stream


def decision_blocks(folder: Path, usecase: UseCase, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """All decisions of `usecase`, file by file. A torn last line is left out."""
    for file in journal_files(folder):
        yield from _of_file(file, usecase, block_bytes)


def _of_file(file: Path, usecase: UseCase, block_bytes: int) -> Iterator[Block]:
    # Inside a text its quotes would be escaped, so this finds keys only; the column is asked again below.
    wanted = f'"use_case":"{usecase.name}"'.encode()
    lines: list[bytes] = []
    held = emptied = 0
    for line in raw_lines(file):
        if wanted not in line or b'"kind":"decision"' not in line[:200] or not line.endswith(b"}\n"):
            continue
        if b',"removed":{' in line[:500]:
            emptied += 1
            continue
        lines.append(line)
        held += len(line)
        if held >= block_bytes:
            yield _block(lines, usecase, emptied)
            lines, held, emptied = [], 0, 0
    if lines or emptied:
        yield _block(lines, usecase, emptied)


def _block(lines: list[bytes], usecase: UseCase, emptied: int) -> Block:
    import pyarrow as pa
    from pyarrow import compute
    from pyarrow import json as arrow_json

    schema = _schema(usecase)
    options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    lost = 0
    try:
        read = arrow_json.read_json(pa.BufferReader(b"".join(lines)), arrow_json.ReadOptions(), options)
    except pa.ArrowInvalid:  # one of them is no such record: find out which
        kept = [one for line in lines if (one := _one(line, schema)) is not None]
        read = pa.concat_tables(kept) if kept else schema.empty_table()
        lost = len(lines) - len(kept)
    flat = _flat(read, usecase)
    return Block(
        flat.filter(compute.equal(flat["use_case"], usecase.name)).drop_columns("use_case"), lost, emptied
    )


def _one(line: bytes, schema: "pa.Schema") -> "pa.Table | None":
    import pyarrow as pa

    try:
        raw: Any = json.loads(line)
        return pa.Table.from_pylist([_only(raw, schema)], schema=schema)
    except (ValueError, TypeError, AttributeError, KeyError, pa.ArrowException):
        return None


def _only(raw: Mapping[str, Any], schema: "pa.Schema") -> dict[str, Any]:
    return {name: raw[name] for name in schema.names}


def _schema(usecase: UseCase) -> "pa.Schema":
    import pyarrow as pa

    types = {"number": pa.float64(), "integer": pa.float64(), "boolean": pa.bool_()}
    fields = pa.struct(
        [
            # An identifier stands there as a keyed hash, whatever it was.
            (name, pa.string() if "identifier" in spec.tags else types.get(spec.type, pa.string()))
            for name, spec in usecase.input.items()
        ]
    )
    request = [("fields", fields)]
    if usecase.features is not None:
        request.append(("features", pa.struct([(name, pa.float64()) for name in usecase.features.columns])))
    content = pa.struct(
        [
            ("id", pa.string()),
            ("use_case", pa.string()),
            ("request", pa.struct(request)),
            ("output", pa.struct([(usecase.label, pa.string())])),
            ("route", pa.string()),
            ("confidence", pa.float64()),
        ]
    )
    return pa.schema([("ts", pa.string()), ("content", content)])


def _flat(read: "pa.Table", usecase: UseCase) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import compute

    content = read["content"]

    def at(*path: str) -> Any:
        return compute.struct_field(content, list(path))

    columns = {"ts": read["ts"], **{name: at(name) for name in ("id", "use_case", "route", "confidence")}}
    columns["label"] = at("output", usecase.label)
    for name in usecase.input:
        columns[f"field.{name}"] = at("request", "fields", name)
    for name in usecase.features.columns if usecase.features else ():
        columns[f"feature.{name}"] = at("request", "features", name)
    return pa.table(columns)
