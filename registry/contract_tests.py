"""What the contract tests of one model found: frozen values, as they lie signed in a package.

Three contracts stand between data and an answer: data-model (what rows may look like, and how the model
behaves on them), model-orchestrator (what a prediction holds, at which cost) and orchestrator-endpoint
(what a cloud model is asked, and may answer). Here is only the report; `docs/adr/0014-contract-tests.md`
says what is checked where.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from registry.errors import PackageInvalid

CONTRACT_TESTS = "contract-tests.json"
"""The report's name in a package; `evidence.json` names its digest."""

Between = Literal["data-model", "model-orchestrator", "orchestrator-endpoint"]

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ContractCheck(BaseModel):
    """One thing that was checked. `expected` and `got` are sentences for people, never raw input."""

    model_config = _STRICT

    name: str = Field(min_length=1)
    between: Between
    passed: bool
    expected: str
    got: str


class ContractReport(BaseModel):
    """All checks of one run. `passed` says what the checks say: a report that contradicts itself is none."""

    model_config = _STRICT

    format_version: Literal[1] = 1
    passed: bool
    checks: tuple[ContractCheck, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _says_what_its_checks_say(self) -> "ContractReport":
        if self.passed != all(check.passed for check in self.checks):
            raise ValueError("passed: expected true exactly when every check passed")
        return self

    @property
    def failed(self) -> tuple[ContractCheck, ...]:
        """The checks that did not pass, in order."""
        return tuple(check for check in self.checks if not check.passed)


def report_of(checks: tuple[ContractCheck, ...]) -> ContractReport:
    """The report of these checks; at least one."""
    return ContractReport(passed=all(check.passed for check in checks), checks=checks)


def parse_report(raw: bytes, shown: str = CONTRACT_TESTS) -> ContractReport:
    """Read a report strictly. Raises `PackageInvalid` naming key and what was expected."""
    try:
        return ContractReport.model_validate_json(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or 'the document'}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise PackageInvalid(f"{shown}: {problems}; run `switchyard contract test` again") from None


def as_markdown(report: ContractReport) -> str:
    """The report as a table, for a person and for Prefect's UI."""
    lines = ["| between | check | | expected | got |", "|---|---|---|---|---|"]
    for check in report.checks:
        said = "passed" if check.passed else "**FAILED**"
        row = (check.between, check.name, said, check.expected, check.got)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
    return "\n".join(lines) + "\n"
