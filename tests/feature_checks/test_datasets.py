"""Labelled rows are the same for training and for replays."""

import hashlib
from pathlib import Path

import pytest

from feature_checks.datasets import choose_data, data_files, load_labelled
from feature_checks.errors import DatasetError
from feature_checks.usecase import UseCase, load_usecase
from tests.toy import OUTSIDE, text_rows, write_csv, write_text_usecase


@pytest.fixture
def with_full(usecases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UseCase:
    """A use case whose full data lies in the mirror, with columns named otherwise."""
    mirror = tmp_path / "mirror"
    rows = [row for row in text_rows() if row[1] != OUTSIDE]
    remote = {}
    for part, some in (
        ("train", [*rows[:-6], (f" {rows[-1][0]} ".upper(), rows[-1][1])]),
        ("test", rows[-6:]),
    ):
        file = write_csv(mirror / f"{part}.csv", some, ("text", "category"))
        remote[part] = {
            "url": f"https://data.example/{part}.csv",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "columns": {"category": "kind"},
        }
    monkeypatch.setenv("SWITCHYARD_DATA_MIRROR", str(mirror))
    data = {"sample": "data/rows.csv", "full": remote, "min_rows_per_label": 5}
    write_text_usecase(usecases, "parcels", data=data)
    return load_usecase("parcels")


def test_the_sample_is_split_and_its_outside_rows_kept_apart(parcels: UseCase, tmp_path: Path) -> None:
    data = load_labelled(parcels, "sample", tmp_path)
    assert (len(data.train), len(data.test), len(data.outside)) == (48, 12, 6)
    assert set(data.outside["kind"]) == {OUTSIDE}


def test_the_full_data_is_the_published_split_and_outside_rows_come_from_the_sample(
    with_full: UseCase, tmp_path: Path
) -> None:
    data = load_labelled(with_full, "full", tmp_path)
    assert (len(data.test), len(data.outside)) == (6, 6)
    assert list(data.train.columns) == ["text", "kind"]


def test_training_rows_that_repeat_a_test_row_but_for_case_and_spaces_are_left_out(
    with_full: UseCase, tmp_path: Path
) -> None:
    data = load_labelled(with_full, "full", tmp_path)
    assert len(data.train) == 54  # 55 rows were published, one of them a test row in capitals


def test_numbers_come_as_numbers(sums: UseCase, tmp_path: Path) -> None:
    data = load_labelled(sums, "sample", tmp_path)
    assert data.train.dtypes.map(str).to_dict() == {"amount": "float64", "hour": "Int64", "verdict": "str"}
    assert data.outside.empty


def test_full_data_that_is_not_named_is_an_error_that_says_so(parcels: UseCase, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="names no full data"):
        data_files(parcels, "full", tmp_path)


def test_auto_takes_the_full_data_where_it_can_be_had(with_full: UseCase, tmp_path: Path) -> None:
    assert choose_data(with_full, tmp_path) == ("full", "the full data")


def test_auto_falls_back_to_the_sample_and_says_why(parcels: UseCase, tmp_path: Path) -> None:
    which, reason = choose_data(parcels, tmp_path)
    assert which == "sample"
    assert "names no full data" in reason


def test_a_replay_refuses_a_file_with_other_columns(usecases: Path, tmp_path: Path) -> None:
    root = write_text_usecase(usecases)
    write_csv(root / "data" / "rows.csv", [("a", "b", "c")], ("text", "kind", "more"))
    with pytest.raises(DatasetError, match=r"rows.csv: .*not expected: column 3"):
        load_labelled(load_usecase("parcels"), "sample", tmp_path)
