"""Prepared rows read without pandas are those that pandas wrote, and no others pass for them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.usecase import UseCase, load_usecase
from flows.stages import run_stage
from flows.steps.package import _data
from flows.steps.prepare import rows_digest
from flows.steps.prepared_rows import FEATURES, TEST, csv_digest, judged_rows
from flows.steps.rows import inputs, read_rows

REPOSITORY = Path(__file__).parent.parent.parent
NAIVE = (datetime(1970, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  — hypothesis wants bounds without a zone
TIMES = st.datetimes(*NAIVE, timezones=st.just(UTC))
COLUMNS = {
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "number": st.floats(allow_infinity=False),
    "whole": st.integers(-(2**63), 2**63 - 1),
    "said": st.booleans(),
    "at": TIMES,
    "second": TIMES.map(lambda at: at.replace(microsecond=0)),
}


@given(st.lists(st.tuples(*COLUMNS.values()), min_size=1, max_size=8))
def test_the_digest_of_rows_is_the_same_whoever_reads_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "rows.parquet"
    pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(file, index=False)
    table = pq.read_table(file)
    assert csv_digest({name: table[name].to_pylist() for name in COLUMNS}) == rows_digest(
        pd.read_parquet(file)
    )


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, UseCase]:
    """A use case whose model sees features that were worked out from events, up to step `prepare`."""
    place = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHYARD_USECASES", str(REPOSITORY / "usecases"))
        patch.setenv("SWITCHYARD_HOME", str(place / "home"))
        patch.chdir(place)
        for step in ("fetch", "check", "prepare"):
            run_stage(step, "fraud", "sample")
        return place / "build" / "fraud" / "sample", load_usecase("fraud")


def named(build: Path) -> dict[str, str]:
    """As the signed evidence has them."""
    return {item.role: item.sha256 for item in _data(build)}


def test_rows_with_features_are_found_by_what_the_evidence_names(events: tuple[Path, UseCase]) -> None:
    """And a model sees of them what it saw when it was tested."""
    build, usecase = events
    rows = judged_rows(build, usecase, named(build))
    assert rows is not None
    frame = read_rows(build, "test")
    assert rows.inputs == inputs(frame, usecase)
    assert rows.truth == frame[usecase.label].tolist()


@pytest.mark.parametrize("column", ["amount", "decision", "customer_mean_7d"])
def test_rows_with_another_input_label_or_feature_are_not_those(
    events: tuple[Path, UseCase], tmp_path: Path, column: str
) -> None:
    build, usecase = events
    frame = read_rows(build, "test")
    frame.loc[7, column] = frame[column].iloc[8] if column == "decision" else frame[column].iloc[7] + 1
    if column == "decision":
        frame[column] = frame[column].iloc[::-1].to_numpy()
    (tmp_path / "prepared").mkdir()
    frame.to_parquet(tmp_path / "prepared" / "test.parquet", index=False)
    assert judged_rows(tmp_path, usecase, named(build)) is None


def test_evidence_from_before_features_were_named_is_of_its_rows_alone(events: tuple[Path, UseCase]) -> None:
    build, usecase = events
    said = json.loads((build / "prepared" / "prepare.json").read_text())[TEST]
    assert said["features_sha256"] == named(build)[FEATURES]
    assert judged_rows(build, usecase, {TEST: said["sha256"]}) is not None


def test_a_file_that_is_none_or_of_another_use_case_is_passed_over(
    events: tuple[Path, UseCase], tmp_path: Path
) -> None:
    build, usecase = events
    assert judged_rows(tmp_path, usecase, named(build)) is None
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "test.parquet").write_bytes(b"none")
    assert judged_rows(tmp_path, usecase, named(build)) is None
    pd.DataFrame({"text": ["x"]}).to_parquet(tmp_path / "prepared" / "test.parquet")
    assert judged_rows(tmp_path, usecase, named(build)) is None
