"""The gate: data that breaks its contract stops here, with every failure named by place and bound.

Great Expectations runs in memory, with a result format that names rows and stores no value of them.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from feature_checks.contracts import FeatureContract, feature_contract
from feature_checks.datasets import DataFiles, read_splits
from feature_checks.derived import Splits, derive
from feature_checks.errors import CheckFailed, DatasetError
from feature_checks.labelled import LabelledData
from feature_checks.report import CheckReport, CheckResult
from feature_checks.screen import rows_to_check
from feature_checks.splits import drop_repeats
from feature_checks.suites import content_suite, structure_suite
from feature_checks.tables import describe_columns
from feature_checks.usecase import UseCase

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite
    from great_expectations.data_context import AbstractDataContext

_PLACE = "place"


def gate_files(usecase: UseCase, files: DataFiles) -> tuple[CheckReport, LabelledData]:
    """Read a use case's files and run the gate on them: the report, and the rows that passed.

    A file that cannot be read as what it claims to be is a failed check like any other. Raises
    `CheckFailed`.
    """
    contract = feature_contract(usecase)
    try:
        data = read_splits(usecase, files, strict=False)
    except DatasetError as error:
        report = _unreadable(contract, files, error)
        raise CheckFailed(report.summary(), report) from error
    return run_gate(contract, data.train, data.test, data.outside, files.names()), data


def run_gate(
    contract: FeatureContract,
    train: "pd.DataFrame",
    test: "pd.DataFrame",
    outside: "pd.DataFrame",
    files: Mapping[str, str] | None = None,
) -> CheckReport:
    """Check three tables that `read_table` made against a contract.

    `files` names the file of each split for people. Returns the report of data that passed; raises
    `CheckFailed`, which carries the report, for data that did not.
    """
    report = check_data(contract, train, test, outside, files)
    if not report.passed:
        raise CheckFailed(report.summary(), report)
    return report


def check_data(
    contract: FeatureContract,
    train: "pd.DataFrame",
    test: "pd.DataFrame",
    outside: "pd.DataFrame",
    files: Mapping[str, str] | None = None,
) -> CheckReport:
    """Like `run_gate`, and returns the report whatever it says."""
    raw: Splits = {"train": train, "test": test, "outside": outside}
    if outside.empty:
        del raw["outside"]
    names = {split: (files or {}).get(split, split) for split in raw}
    results: list[CheckResult] = []
    derived = derive(contract, {split: rows_to_check(frame, contract) for split, frame in raw.items()})
    with _quiet_context() as context:
        for split, frame in raw.items():
            found = _validate(context, structure_suite(contract), frame, split, names[split])
            results += (_with_columns(result, frame, contract) for result in found)
        for split, frame in derived.items():
            suite = content_suite(contract, split, list(frame.columns))
            found = _validate(context, suite, frame, split, names[split])
            results += (_with_labels(result, frame, contract) for result in found)
    return CheckReport(
        use_case=contract.use_case,
        contract_version=contract.version,
        counts={split: len(frame) for split, frame in raw.items()},
        results=tuple(results),
        notes=tuple(_notes(contract, train, test)),
    )


def _unreadable(contract: FeatureContract, files: DataFiles, error: DatasetError) -> CheckReport:
    name = str(error).partition(":")[0]
    split = next((split for split, file in files.names().items() if file == name), "data")
    result = CheckResult(split, name, "file is of the format it claims", "readable", False, detail=str(error))
    return CheckReport(contract.use_case, contract.version, {}, (result,))


def _validate(
    context: "AbstractDataContext", suite: "ExpectationSuite", frame: "pd.DataFrame", split: str, file: str
) -> Iterator[CheckResult]:
    from great_expectations import ValidationDefinition

    name = f"{split}-{suite.name}"
    order = [e.meta["check"] for e in suite.expectations]
    source = context.data_sources.add_pandas(name)
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    suite.name = name
    definition = ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame.rename_axis(index=_PLACE)},
        # COMPLETE is what lists every failing row; the rest keeps what is in the rows out of it.
        result_format={
            "result_format": "COMPLETE",
            "exclude_unexpected_values": True,
            "include_unexpected_rows": False,
            "return_unexpected_index_query": False,
            "unexpected_index_column_names": [_PLACE],
        },
    )
    found = [
        _result(one.to_json_dict(), split, file, str(frame.index.name or "row")) for one in outcome.results
    ]
    yield from sorted(found, key=lambda result: order.index(result.check))


def _result(outcome: Mapping[str, Any], split: str, file: str, unit: str) -> CheckResult:
    meta = outcome["expectation_config"]["meta"]
    listed = (outcome["result"] or {}).get("unexpected_index_list") or []
    rows = sorted(int(place) for part in listed for place in part[_PLACE])
    passed = bool(outcome["success"])
    blind = not passed and not rows and "observed_value" not in (outcome["result"] or {})
    return CheckResult(
        split=split,
        file=file,
        check=meta["check"],
        bound=meta["bound"],
        passed=passed,
        rows=tuple(rows),
        unit=unit,
        # Great Expectations' own message may repeat a value, so it is not passed on.
        detail="could not be checked, so it counts as failed" if blind else "",
    )


def _with_columns(result: CheckResult, frame: "pd.DataFrame", contract: FeatureContract) -> CheckResult:
    if result.passed:
        return result
    columns = [str(column) for column in frame.columns]
    return replace(result, detail=describe_columns(columns, contract.columns).partition("; ")[2])


def _with_labels(result: CheckResult, frame: "pd.DataFrame", contract: FeatureContract) -> CheckResult:
    """Names the labels that have too few rows, as far as they are labels of the contract."""
    if result.passed or "enough rows" not in result.check:
        return result
    counts = frame[contract.label].value_counts()
    few = {str(k): int(n) for k, n in counts.items() if n < contract.min_rows_per_label}
    named = [f"{label} has {few[label]}" for label in contract.labels if label in few]
    return replace(result, detail=", ".join(named[:10]) + (" ..." if len(named) > 10 else ""))


def _notes(contract: FeatureContract, train: "pd.DataFrame", test: "pd.DataFrame") -> Iterator[str]:
    if contract.label not in train.columns:
        return
    present = set(train[contract.label].tolist())
    if lacking := [label for label in contract.labels if label not in present]:
        shown = ", ".join(lacking[:5]) + (" ..." if len(lacking) > 5 else "")
        yield (
            f"{len(lacking)} of {len(contract.labels)} labels have no training rows, so the model will "
            f"never answer with them: {shown}"
        )
    _, repeats = drop_repeats(train, test, contract.identity)
    if left_out := len(repeats.leaked) + len(repeats.repeated):
        yield (
            f"{left_out} training rows repeat a test row ({len(repeats.leaked)}) or an earlier training row "
            f"({len(repeats.repeated)}) but for case and spaces; `prepare` leaves them out"
        )


@contextlib.contextmanager
def _quiet_context() -> "Iterator[AbstractDataContext]":
    """An in-memory context without analytics or progress bars."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when its module is first imported
    logging.getLogger("great_expectations").setLevel(logging.ERROR)  # it warns with values in the text
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    yield context
