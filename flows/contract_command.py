"""`switchyard contract test`: runs the contract tests as a Prefect flow, and shows their report."""

import json
import os
import sys
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from flows.surroundings import prefect_api
from registry.settings import RegistrySettings


def run(
    name: str, alias: str, build: Literal["sample", "full"] | None, version: int | None, as_json: bool
) -> bool:
    """Test the model of use case `name`, print the report, and say whether it passed."""
    say = Console(stderr=True, highlight=False)
    if not os.environ.get("PREFECT_API_URL"):
        say.print("Starting Prefect for this run (the very first time takes up to a minute) ...")
    with prefect_api(RegistrySettings().home) as wait_ready:
        from flows.contract_flow import contract_tests  # brings Prefect, which reads its settings on import

        wait_ready()
        report = contract_tests(name, alias, build, version=version)
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        _show(report, Console(highlight=False))
    return bool(report["passed"])


def _show(report: dict[str, Any], console: Console) -> None:
    failed = [check for check in report["checks"] if not check["passed"]]
    verdict = f"{len(failed)} of {len(report['checks'])} failed" if failed else "all passed"
    table = Table(title=f"{report['usecase']} ({report['tested']}): contract tests, {verdict}")
    for column in ("between", "check", "", "expected", "got"):
        table.add_column(column)
    for check in report["checks"]:
        said = "passed" if check["passed"] else "FAILED"
        table.add_row(check["between"], check["name"], said, check["expected"], check["got"])
    console.print(table)
