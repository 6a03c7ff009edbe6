"""The report of contract tests: what is signed says what its checks say, and nothing else is read."""

import pytest

from registry.contract_tests import ContractCheck, as_markdown, parse_report, report_of
from registry.errors import PackageInvalid

GOOD = ContractCheck(name="labels", between="data-model", passed=True, expected="8 labels", got="8 labels")
BAD = ContractCheck(name="latency", between="model-orchestrator", passed=False, expected="25 ms", got="90 ms")


def test_a_report_passes_only_when_every_check_does() -> None:
    assert report_of((GOOD, GOOD)).passed
    report = report_of((GOOD, BAD))
    assert not report.passed
    assert report.failed == (BAD,)


def test_a_report_comes_back_from_its_json_as_it_was() -> None:
    report = report_of((GOOD, BAD))
    assert parse_report(report.model_dump_json().encode()) == report


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b'{"format_version": 1, "passed": true, "checks": []}', "checks"),
        (report_of((GOOD, BAD)).model_dump_json().replace('"passed":false', '"passed":true', 1).encode(),
         "exactly when every check passed"),
        (report_of((GOOD,)).model_dump_json().replace("data-model", "data-moon").encode(), "between"),
        (report_of((GOOD,)).model_dump_json().replace('"got"', '"saw"').encode(), "saw"),
        (report_of((GOOD,)).model_dump_json().replace(':1', ':2', 1).encode(), "format_version"),
        (b"", "the document"),
    ],
)  # fmt: skip
def test_a_report_that_is_none_is_refused_by_key(raw: bytes, named: str) -> None:
    with pytest.raises(PackageInvalid, match=named):
        parse_report(raw)


def test_nothing_breaks_the_table() -> None:
    check = GOOD.model_copy(update={"got": "a | b\nc"})
    assert as_markdown(report_of((check,))).splitlines()[2].count(" | ") == 4
