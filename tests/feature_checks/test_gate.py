"""The gate catches every way in which data breaks its contract, and never repeats what is in it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from feature_checks.contracts import feature_contract
from feature_checks.datasets import DataFiles, load_labelled
from feature_checks.errors import CheckFailed
from feature_checks.gate import check_data, gate_files, run_gate
from feature_checks.report import CheckReport
from feature_checks.usecase import UseCase, load_usecase
from tests.toy import number_rows, text_rows, write_csv, write_number_usecase, write_text_usecase

SECRET = "PLANTED 4111"
Rows = list[tuple[object, ...]]


def gate(usecase: UseCase) -> CheckReport:
    report, _ = gate_files(usecase, DataFiles(usecase.path(usecase.data.sample)))
    return report


def failed(usecase: UseCase) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        gate(usecase)
    assert SECRET not in str(caught.value)
    assert SECRET not in json.dumps(caught.value.report.to_dict())
    assert SECRET not in caught.value.report.to_markdown()
    return caught.value


def test_good_data_passes_and_the_report_counts_it(parcels: UseCase) -> None:
    report = gate(parcels)
    assert report.passed
    assert report.counts == {"train": 48, "test": 12, "outside": 6}


BAD_ROWS: dict[str, tuple[tuple[object, ...], str]] = {
    "an unknown label": ((f"{SECRET} x", f"{SECRET} label"), "kind is a known label, one of 3 allowed"),
    "an empty text": (("", "lost"), "text is not empty, every row"),
    "only spaces": ((" \u00a0\t ", "late"), "text is not empty, every row"),
    "over-long text": ((f"{SECRET} " * 20, "lost"), "text has a bounded length, at most 80 characters"),
    "replacement characters": ((f"{SECRET} caf\ufffd", "lost"), "text is rightly encoded, no replacement"),
    "control characters": ((f"{SECRET}\x07", "lost"), "text is rightly encoded"),
    "mojibake of a letter": ((f"{SECRET} caf\u00c3\u00a9", "lost"), "text is rightly encoded"),
    "mojibake of a capital": ((f"{SECRET} \u00c3\u2013ffnen", "lost"), "text is rightly encoded"),
    "mojibake of a quote": ((f"{SECRET} it\u00e2\u20ac\u2122s", "lost"), "text is rightly encoded"),
    "mojibake of a pound": ((f"{SECRET} \u00c2\u00a350", "lost"), "text is rightly encoded"),
    "one text with two labels": ((f"{SECRET} a", "lost"), "the same text has one kind, at most 1"),
    "its other label": ((f"{SECRET}  A ", "late"), "the same text has one kind, at most 1"),
    "a text with a label and outside": ((f"{SECRET} b", "late"), "the same text has one kind"),
    "and outside": ((f"{SECRET} b", "elsewhere"), "the same text has one kind"),
}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> CheckFailed:
    """The gate's answer to a sample that holds all bad rows at once, each on a line of its own."""
    folder = tmp_path_factory.mktemp("spoilt")
    write_text_usecase(folder, rows=[*text_rows(), *(row for row, _ in BAD_ROWS.values())])
    return failed(load_usecase("parcels", folder))


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_on_its_line_by_the_check_and_bound_that_it_breaks(
    spoilt: CheckFailed, case: str
) -> None:
    line = 2 + len(text_rows()) + list(BAD_ROWS).index(case)
    breaking = [result for result in spoilt.report.failures if line in result.rows]
    assert BAD_ROWS[case][1] in " and ".join(result.sentence() for result in breaking)
    # A text with two labels may also stand in train and test; nothing else comes in pairs.
    also = {result.check for result in breaking} - {"the same text is not among the test rows as well"}
    assert len(also) == 1


def test_the_error_lists_every_failure_with_its_lines_and_bound(spoilt: CheckFailed) -> None:
    lines = str(spoilt).splitlines()
    assert lines[0].startswith("data of 'parcels' is not fit to use: ")
    assert len(lines) - 1 == len(spoilt.report.failures)
    assert all("(rows.csv): " in line and ": line" in line for line in lines[1:])


def test_a_class_with_too_few_rows_is_refused_and_named(usecases: Path) -> None:
    few = [row for at, row in enumerate(text_rows()) if row[1] != "late" or at % 5 == 0]
    write_text_usecase(usecases, rows=few)
    error = str(failed(load_usecase("parcels")))
    assert re.search(r"every kind has enough rows, at least 5: lines 22, .*: late has 3", error), error


HEADERS: dict[str, tuple[Sequence[str], Rows, str]] = {
    "an extra column": (
        ("text", "kind", SECRET),
        [(t, k, SECRET) for t, k in text_rows()],
        "not expected: column 3",
    ),
    "a missing label column": (("text",), [(t,) for t, _ in text_rows()], "missing: kind"),
    "a missing field": (("kind",), [(k,) for _, k in text_rows()], "missing: text"),
    "no header": ((SECRET, "lost"), text_rows(), "missing: text, kind; not expected: columns 1, 2"),
}


@pytest.mark.parametrize(("header", "rows", "message"), HEADERS.values(), ids=HEADERS)
def test_a_missing_or_extra_column_is_refused_and_named(
    usecases: Path, header: Sequence[str], rows: Rows, message: str
) -> None:
    root = write_text_usecase(usecases)
    write_csv(root / "data" / "rows.csv", rows, header)
    error = str(failed(load_usecase("parcels")))
    assert "columns are those of the contract, exactly text, kind" in error
    assert message in error


def test_the_same_text_in_train_and_test_is_refused_on_its_lines(parcels: UseCase, tmp_path: Path) -> None:
    data = load_labelled(parcels, "sample", tmp_path)
    train = pd.concat([data.train, data.test.iloc[[0]]]).rename_axis("line")
    with pytest.raises(CheckFailed, match="not among the test rows as well, no row: line") as error:
        run_gate(feature_contract(parcels), train, data.test, data.outside)
    named = next(r for r in error.value.report.failures if "among the test rows" in r.check)
    assert (named.split, named.rows) == ("train", (data.test.index[0],))


def test_the_same_text_composed_otherwise_in_unicode_is_the_same_text(
    parcels: UseCase, tmp_path: Path
) -> None:
    data = load_labelled(parcels, "sample", tmp_path)
    data.train.iloc[0, 0], data.test.iloc[0, 0] = "caf\u00e9", "cafe\u0301"
    report = check_data(feature_contract(parcels), data.train, data.test, data.outside)
    assert any("among the test rows" in result.check for result in report.failures)


def test_a_test_label_without_training_rows_is_refused(parcels: UseCase, tmp_path: Path) -> None:
    data = load_labelled(parcels, "sample", tmp_path)
    train = data.train[data.train["kind"] != "late"]
    report = check_data(feature_contract(parcels), train, data.test, data.outside)
    assert [r.check for r in report.failures] == ["every kind has training rows"]


def test_no_rows_at_all_are_refused(usecases: Path) -> None:
    write_text_usecase(usecases, rows=[])
    assert "there are rows, at least 1" in str(failed(load_usecase("parcels")))


def test_a_file_of_another_format_is_a_failed_check_with_a_report(usecases: Path) -> None:
    root = write_text_usecase(usecases)
    (root / "data" / "rows.csv").write_bytes(b"PK\x03\x04" + SECRET.encode())
    error = failed(load_usecase("parcels"))
    assert "file is of the format it claims" in str(error)
    assert "expected CSV in UTF-8, found a zip archive" in str(error)


def test_many_bad_rows_are_named_by_the_first_ten_and_their_count(usecases: Path) -> None:
    write_text_usecase(usecases, rows=text_rows() + [(f"text {i}", SECRET) for i in range(300)])
    assert " ... (240 in all)" in str(failed(load_usecase("parcels")))


def test_missing_values_in_parquet_are_refused(parcels: UseCase, tmp_path: Path) -> None:
    data = load_labelled(parcels, "sample", tmp_path)
    train = data.train.astype(object)
    train.iloc[0, 0], train.iloc[1, 1], train.iloc[2, 0] = None, None, 12
    report = check_data(feature_contract(parcels), train, data.test, data.outside)
    assert {r.check for r in report.failures} >= {"text is present", "kind is present", "text is text"}


NUMBERS: dict[str, tuple[tuple[object, ...], str]] = {
    "below the minimum": ((-0.5, 3, "odd"), "amount lies within its bounds, at least 0 and at most 1000"),
    "above the maximum": ((10, 24, "odd"), "hour lies within its bounds, at least 0 and at most 23"),
    "missing": (("", 3, "odd"), "amount is present"),
    "not a number": ((SECRET, 3, "odd"), "amount is a finite number"),
    "NaN": (("nan", 3, "odd"), "amount is a finite number"),
    "infinite": (("-inf", 3, "odd"), "amount is a finite number"),
    "not whole": ((10, 3.5, "odd"), "hour is a whole number"),
}


@pytest.fixture(scope="module")
def spoilt_numbers(tmp_path_factory: pytest.TempPathFactory) -> CheckFailed:
    folder = tmp_path_factory.mktemp("spoilt")
    write_number_usecase(folder, rows=[*number_rows(), *(row for row, _ in NUMBERS.values())])
    return failed(load_usecase("sums", folder))


@pytest.mark.parametrize("case", NUMBERS)
def test_a_bad_number_is_refused_on_its_line_by_the_check_and_bound_that_it_breaks(
    spoilt_numbers: CheckFailed, case: str
) -> None:
    line = 2 + len(number_rows()) + list(NUMBERS).index(case)
    breaking = [result for result in spoilt_numbers.report.failures if line in result.rows]
    assert NUMBERS[case][1] in " and ".join(result.sentence() for result in breaking)


def test_good_numbers_pass_and_equal_rows_are_two_events(usecases: Path) -> None:
    write_number_usecase(usecases, rows=number_rows() * 2)
    assert gate(load_usecase("sums")).passed


NOT_DAMAGED = (
    "Caf\u00e9 cr\u00e8me \u00e0 la \u00c2ge, S\u00c3O PAULO, \u201cCAF\u00c9\u201d, \u201cMANH\u00c3\u201d",
    "na\u00efve \u2013 \u00a350 \u2019twas \u20ac5\u2026",
    "\U0001f600 \u4f60\u597d \u0645\u0631\u062d\u0628\u0627 \u0417\u0434\u0440\u0430",
    "two\nlines\tand a tab\r\n",
)


def test_rightly_encoded_text_of_any_language_passes(usecases: Path) -> None:
    write_text_usecase(usecases, rows=[*text_rows(), *((text, "lost") for text in NOT_DAMAGED)])
    assert gate(load_usecase("parcels")).passed


def test_labels_without_rows_are_noted_and_stop_nothing(usecases: Path) -> None:
    root = write_text_usecase(usecases)
    (root / "labels.txt").write_text("lost\nlate\nbroken\nunseen\n")
    report = gate(load_usecase("parcels"))
    assert report.passed
    assert report.notes == (
        "1 of 4 labels have no training rows, so the model will never answer with them: unseen",
    )


def test_repeats_but_for_case_are_noted_with_what_happens_to_them(usecases: Path) -> None:
    write_text_usecase(usecases, rows=[*text_rows(), (str(text_rows()[0][0]).upper(), "lost")])
    report = gate(load_usecase("parcels"))
    assert "`prepare` leaves them out" in report.notes[0]


def test_the_markdown_says_the_verdict_first(parcels: UseCase) -> None:
    assert gate(parcels).to_markdown().startswith("## Data of `parcels`: fit to use\n")
