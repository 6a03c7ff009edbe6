"""check: the data gate. Nothing after it runs on data that breaks the use case's contract."""

from pathlib import Path
from typing import Any

from feature_checks.errors import CheckFailed
from feature_checks.gate import gate_files
from feature_checks.report import CheckReport
from feature_checks.usecase import UseCase
from flows.steps.fetch import fetched_files
from flows.steps.files import fresh, write_json


def check(build: Path, usecase: UseCase) -> dict[str, Any]:
    """Check raw/ and write checked/check.json and check.md, whatever the verdict; returns the report.

    Raises `CheckFailed` that lists every failure by file, line and bound.
    """
    files = fetched_files(build)
    checked = fresh(build / "checked")
    try:
        report, _ = gate_files(usecase, files)
    except CheckFailed as failed:
        _write(checked, failed.report)
        raise
    return _write(checked, report)


def _write(folder: Path, report: CheckReport) -> dict[str, Any]:
    plain = report.to_dict()
    write_json(folder / "check.json", plain)
    (folder / "check.md").write_text(report.to_markdown(), encoding="utf-8")
    return plain
