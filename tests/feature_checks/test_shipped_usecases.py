"""The use cases of this repository are valid, and their data is fit to use."""

import os
from pathlib import Path

import pytest

from feature_checks.datasets import Which, data_files
from feature_checks.errors import DatasetError
from feature_checks.gate import gate_files
from feature_checks.usecase import list_usecases, load_usecase

FOLDER = Path(__file__).parents[2] / "usecases"
MIRROR = os.environ.get("SWITCHYARD_DATA_MIRROR", "")


@pytest.mark.parametrize("which", ["sample", "full"])
@pytest.mark.parametrize("name", list_usecases(FOLDER))
def test_the_data_of_a_shipped_use_case_passes_its_own_gate(
    name: str, which: Which, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usecase = load_usecase(name, FOLDER)
    if MIRROR:
        monkeypatch.setenv("SWITCHYARD_DATA_MIRROR", MIRROR)
    try:
        files = data_files(usecase, which, tmp_path, timeout_s=1)
    except DatasetError as error:
        if which == "sample":
            raise
        pytest.skip(f"the full data cannot be had here: {str(error)[:100]}")
    report, data = gate_files(usecase, files)
    assert report.passed
    assert len(data.test) >= 2 * data.test[usecase.label].nunique()
