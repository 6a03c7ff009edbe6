"""Reads a labelled table strictly: text stays text, and every row knows its place in the file.

The index of what comes back is named `line` (CSV: the line of the file on which the row starts) or
`row` (Parquet: 1-based), so that findings can name rows without ever repeating what is in them.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feature_checks.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

NAMED_ROWS = 10
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "Parquet"),
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)"),
    (b"\x1f\x8b", "gzip"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"%PDF", "PDF"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ARROW1", "Arrow"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


def read_table(
    path: Path,
    form: Literal["csv", "parquet"] = "csv",
    rename: Mapping[str, str] | None = None,
    expected: Sequence[str] | None = None,
) -> "pd.DataFrame":
    """Read `path`, rename columns (theirs -> ours), and number its rows.

    With `expected`, other columns are refused here; without it the gate will name them.
    CSV cells come back as text, exactly as written; nothing is taken for a missing value. Raises
    `DatasetError` that names the file, what was expected and found, and line numbers, never content.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path.name}: cannot be read: {error.strerror or type(error).__name__}"
        ) from error
    found = _looks_like(content)
    if (form == "parquet") != (found == "Parquet"):
        wanted = {"csv": "CSV in UTF-8", "parquet": "Parquet"}[form]
        raise DatasetError(f"{path.name}: expected {wanted}, found {found or 'something else'}")
    if form == "csv" and found:
        raise DatasetError(f"{path.name}: expected CSV in UTF-8, found {found}")
    frame = _read_csv(content, path.name) if form == "csv" else _read_parquet(content, path.name)
    return _renamed(frame, rename or {}, expected, path.name)


def name_rows(rows: Sequence[int], unit: str = "line") -> str:
    """`lines 3, 7, 9` or `lines 3, 7, ... (240 in all)`: the first ten and the count."""
    shown = ", ".join(str(row) for row in rows[:NAMED_ROWS])
    more = f" ... ({len(rows):,} in all)" if len(rows) > NAMED_ROWS else ""
    return f"{unit}{'s' if len(rows) != 1 else ''} {shown}{more}"


def _looks_like(content: bytes) -> str | None:
    for magic, what in _MAGIC:
        if content.startswith(magic):
            return what
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page or XML"
    if start.startswith((b"{", b"[")):
        return "JSON"
    return "an empty file" if not content.strip() else None


def _read_csv(content: bytes, name: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{name}: expected UTF-8, found other bytes on line {line}; save the file as UTF-8"
        ) from None  # the decoder's own error carries the whole file
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    ragged: list[int] = []
    header: list[str] = []
    start = 1
    try:
        for row in reader:
            if not header:
                header = row
            elif row and len(row) != len(header):
                ragged.append(start)
            elif row:
                lines.append(start)
                rows.append(row)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{name}: expected CSV; the row that starts on line {start}: {error}") from None
    if bad := [at for at, column in enumerate(header, 1) if not column.strip() or header.count(column) > 1]:
        raise DatasetError(
            f"{name}: expected a header of distinct column names; line 1, {name_rows(bad, 'column')}: not so"
        )
    if ragged:
        raise DatasetError(
            f"{name}: expected {len(header)} cells in every row as in the header, found another number: "
            f"{name_rows(ragged)}"
        )
    return pd.DataFrame(rows, columns=header, index=pd.Index(lines, name="line", dtype="int64"), dtype=object)


def _read_parquet(content: bytes, name: str) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    try:
        frame: pd.DataFrame = parquet.read_table(io.BytesIO(content)).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{name}: expected Parquet, found a file that starts like it and is damaged"
        ) from error
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


def _renamed(
    frame: "pd.DataFrame", rename: Mapping[str, str], expected: Sequence[str] | None, name: str
) -> "pd.DataFrame":
    columns = [str(column) for column in frame.columns]
    if absent := [column for column in rename if column not in columns]:
        raise DatasetError(
            f"{name}: expected the column{'s' * (len(absent) > 1)} {', '.join(absent)} "
            f"(to rename), found {len(columns)} other column{'s' * (len(columns) != 1)}"
        )
    ours = [rename.get(column, column) for column in columns]
    if len(set(ours)) != len(ours):
        raise DatasetError(f"{name}: renaming its columns would give two columns the same name")
    if expected is not None and set(ours) != set(expected):
        raise DatasetError(f"{name}: {describe_columns(ours, expected)}")
    frame.columns = ours
    return frame


def describe_columns(found: Sequence[str], expected: Sequence[str]) -> str:
    """What differs between two sets of columns. Unknown names are given by position: without a
    header, the first row of data stands in their place."""
    missing = [column for column in expected if column not in found]
    extra = [at for at, column in enumerate(found, 1) if column not in expected]
    parts = [f"expected columns {', '.join(expected)}"]
    if missing:
        parts.append(f"missing: {', '.join(missing)}")
    if extra:
        parts.append(f"not expected: {name_rows(extra, 'column')}")
    return "; ".join(parts)
