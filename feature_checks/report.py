"""What the gate found, in a form that may be shown, stored and signed: places and bounds, no content."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from feature_checks.tables import name_rows


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One expectation on one split. `rows` are all failing places in `file`, named by `unit`
    (`line` or `row`); empty when the check is about the table as a whole."""

    split: str
    file: str
    check: str
    bound: str
    passed: bool
    rows: tuple[int, ...] = ()
    unit: str = "line"
    detail: str = ""

    def sentence(self) -> str:
        """`train (messages.csv): text is free of damaged characters: failed on lines 3, 7`."""
        parts = [f"{self.split} ({self.file}): {self.check}, {self.bound}"]
        if self.rows:
            parts.append(name_rows(self.rows, self.unit))
        if self.detail:
            parts.append(self.detail)
        return ": ".join(parts)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that was checked, in order; `notes` are worth knowing and stop nothing."""

    use_case: str
    contract_version: str
    counts: Mapping[str, int]
    results: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        return tuple(result for result in self.results if not result.passed)

    def summary(self) -> str:
        """The message of `CheckFailed`: every failure on a line of its own."""
        failed = self.failures
        head = (
            f"data of '{self.use_case}' is not fit to use: {len(failed)} of {len(self.results)} checks failed"
        )
        return "\n".join([head, *(f"  - {result.sentence()}" for result in failed)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; long lists of rows are cut to the first ten, beside their count."""
        results = []
        for result in self.results:
            plain = asdict(result)
            plain["failed_rows"] = len(result.rows)
            plain["rows"] = list(result.rows[:10])
            results.append(plain)
        return {
            "use_case": self.use_case,
            "contract_version": self.contract_version,
            "passed": self.passed,
            "counts": dict(self.counts),
            "results": results,
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """A page for people: verdict, failures first, then all checks as a table."""
        verdict = "fit to use" if self.passed else f"**not fit to use**: {len(self.failures)} checks failed"
        counts = ", ".join(f"{n:,} {split}" for split, n in self.counts.items())
        lines = [f"## Data of `{self.use_case}`: {verdict}", "", f"Rows: {counts}.", ""]
        lines += [f"- {result.sentence()}" for result in self.failures]
        lines += [""] if self.failures else []
        lines += ["| split | check | bound | result |", "|---|---|---|---|"]
        for result in sorted(self.results, key=lambda r: r.passed):
            said = "passed" if result.passed else _table_cell(result)
            lines.append(f"| {result.split} | {result.check} | {result.bound} | {said} |")
        lines += ["", *(f"- Note: {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"


def _table_cell(result: CheckResult) -> str:
    where = name_rows(result.rows, result.unit) if result.rows else result.detail
    return f"**failed** {where}".replace("|", "/")
