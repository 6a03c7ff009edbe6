"""Tables are read strictly, and every row knows its line."""

import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.errors import DatasetError
from feature_checks.tables import name_rows, read_table
from tests.toy import write_csv

SECRET = "4111-1111-PLANTED"


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("rows.csv", f"text,kind\n{SECRET},lost\n")
    return target.getvalue()


def parquet() -> bytes:
    target = io.BytesIO()
    pd.DataFrame({"text": [SECRET], "kind": ["lost"]}).to_parquet(target)
    return target.getvalue()


NOT_CSV = {
    "a zip archive": (zipped(), "a zip archive"),
    "gzip": (gzip.compress(SECRET.encode()), "gzip"),
    "Parquet": (parquet(), "Parquet"),
    "a web page": (f"<!DOCTYPE html><p>{SECRET}".encode(), "a web page"),
    "JSON": (f'{{"text": "{SECRET}"}}'.encode(), "JSON"),
    "UTF-16": (f"text,kind\n{SECRET},lost\n".encode("utf-16"), "UTF-16"),
    "empty": (b"", "an empty file"),
    "only line ends": (b"\r\n\n", "an empty file"),
}


@pytest.mark.parametrize(("content", "found"), NOT_CSV.values(), ids=NOT_CSV)
def test_a_file_that_is_not_the_csv_it_claims_is_refused_by_what_it_is(
    tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=f"rows.csv: expected CSV in UTF-8, found {found}") as error:
        read_table(tmp_path / "rows.csv")
    assert SECRET not in str(error.value)


BROKEN = {
    "bytes that are not UTF-8": (
        b"text,kind\nfine,lost\n\xff" + SECRET.encode() + b",late\n",
        "UTF-8.*line 3",
    ),
    "too few cells": (f"text,kind\na,b\n{SECRET}\n".encode(), "2 cells.*line 3"),
    "too many cells": (f'text,kind\n"a\nb",c\n{SECRET},b,c\n'.encode(), "2 cells.*line 4"),
    "an open quote": (f'text,kind\na,b\n"{SECRET},lost\n'.encode(), "starts on line 3"),
    "text after a quote": (f'text,kind\n"a"{SECRET},b\n'.encode(), "starts on line 2"),
    "a column without a name": (f"text,\n{SECRET},b\n".encode(), "line 1, column 2"),
    "a column named twice": (f"text,text\n{SECRET},b\n".encode(), "line 1, columns 1, 2"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_csv_is_refused_by_line_and_never_by_content(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        read_table(tmp_path / "rows.csv")
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None


def test_many_ragged_rows_are_named_by_the_first_ten_and_their_count(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "x\n" * 400)
    with pytest.raises(DatasetError, match=r"lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 \.\.\. \(400 in all\)"):
        read_table(tmp_path / "rows.csv")


def test_other_columns_than_expected_are_refused_by_name_when_ours_and_by_place_when_not(
    tmp_path: Path,
) -> None:
    file = write_csv(tmp_path / "rows.csv", [("b", "c")], ("text", SECRET))
    with pytest.raises(DatasetError, match="missing: kind; not expected: column 2") as error:
        read_table(file, expected=("text", "kind"))
    assert SECRET not in str(error.value)


def test_a_column_to_rename_must_be_there(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [("b", "c")])
    with pytest.raises(DatasetError, match="expected the column category"):
        read_table(file, rename={"category": "kind"})


def test_renaming_two_columns_into_one_is_refused(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [("b", "c")])
    with pytest.raises(DatasetError, match="two columns the same name"):
        read_table(file, rename={"text": "kind"})


def test_rows_are_numbered_by_the_line_on_which_they_start(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('text,kind\n"two\nlines",a\n\nlast,b\n')
    assert read_table(tmp_path / "rows.csv").index.tolist() == [2, 5]


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbftext,kind\na,b\n")
    assert list(read_table(tmp_path / "rows.csv").columns) == ["text", "kind"]


def test_a_parquet_file_is_read_with_rows_counted_from_one(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(parquet())
    frame = read_table(tmp_path / "rows.parquet", "parquet", {"kind": "label"})
    assert (frame.index.name, frame.index.tolist(), list(frame.columns)) == ("row", [1], ["text", "label"])


@pytest.mark.parametrize("content", [b"text,kind\na,b\n", parquet()[:40]], ids=["CSV", "cut short"])
def test_a_file_that_is_not_the_parquet_it_claims_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=r"rows.parquet: expected Parquet"):
        read_table(tmp_path / "rows.parquet", "parquet")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"rows.csv: cannot be read"):
        read_table(tmp_path / "rows.csv")


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cells, cells).filter(any), min_size=1, max_size=8))
def test_every_cell_comes_back_exactly_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    file = write_csv(tmp_path_factory.mktemp("t") / "rows.csv", rows)
    assert read_table(file).to_numpy().tolist() == [list(row) for row in rows]


def test_one_row_is_named_in_the_singular() -> None:
    assert name_rows([7]) == "line 7"
    assert name_rows([7, 9], "row") == "rows 7, 9"
