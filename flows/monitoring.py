"""The monitoring flow: the newest decisions of a use case against what its model was trained on.

read the reference -> read the window -> judge -> report -> alarm (an outbox row, then an event)

Needs the placed champion and the journal of this machine, and neither MLflow nor a network.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from feature_checks.drift_reference import ARRAYS, VALUES, Reference, read_reference
from feature_checks.errors import DriftInputError
from feature_checks.journal_columns import decision_blocks
from feature_checks.journal_window import Window, newest, since
from feature_checks.usecase import UseCase, load_usecase
from flows import artifacts
from flows.alarm_store import AlarmStore
from flows.alarms import Alarm
from flows.drift_report import write_report
from flows.embedding import open_embedder
from flows.errors import StepError
from flows.judging import Findings, judge
from flows.reviewed import reviewed_wrong
from flows.trigger import raise_alarm, start_pending
from registry.packages import VerifiedPackage
from registry.placing import CHAMPION, placed_package, placed_ref
from registry.runtimes import open_predictor
from registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, and of which model."""

    findings: Findings
    model: str
    version: int

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"model": {"name": self.model, "version": self.version}, **self.findings.plain()}


@flow(name="monitoring", flow_run_name="{usecase_name}", persist_result=False)
def monitoring(usecase_name: str, window: int | None = None, hours: float | None = None) -> dict[str, Any]:
    """Judge the newest `window` decisions, or a sample of those of the last `hours`; returns plain values."""
    usecase, settings, run = load_usecase(usecase_name), RegistrySettings(), str(flow_run.id)
    store = AlarmStore(settings.home / "monitoring.db")
    for line in start_pending(
        store, usecase_name
    ):  # first: what an earlier run left must not wait for a window
        get_run_logger().info(line)
    looked = look(usecase, window, hours)
    found = looked.plain()
    report = write_report(looked.findings, settings.home / "reports" / usecase_name / f"{run}.html")
    alarm: Alarm | None = None
    if looked.findings.retrain:
        spec, reason = usecase.monitoring, looked.findings.verdict.reason
        moment = datetime.now(UTC)
        alarm = raise_alarm(store, usecase_name, looked.model, reason, run, spec, moment)
    artifacts.publish_monitoring(usecase_name, found, alarm, report)
    return {
        "usecase": usecase_name,
        **found,
        "alarm": None if alarm is None else asdict(alarm),
        "report": None if report is None else str(report),
        "prefect_run_id": run,
    }


def look(usecase: UseCase, window: int | None = None, hours: float | None = None) -> Looked:
    """The flow without Prefect. Raises `DriftInputError` for an empty window, or a reference that is missing
    or of other input fields, and `RegistryError` where no champion is placed."""
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to monitor")
    settings = RegistrySettings()
    ref = placed_ref(usecase.local.model, CHAMPION, settings)
    package = placed_package(ref, settings)
    found = judge(
        usecase,
        reference_of(package),
        open_predictor(package),
        package.manifest.acceptance,
        read_window(usecase, settings, window, hours),
        open_embedder(),
        reviewed_wrong(usecase.name),
    )
    return Looked(found, ref.name, ref.version)


def reference_of(package: VerifiedPackage) -> Reference:
    """What the model was trained on, by its own signed package. Raises `DriftInputError`."""
    if not {VALUES, ARRAYS} <= package.files.keys():
        raise DriftInputError(
            f"'{package.manifest.name}' holds no reference ({VALUES}): it was trained before there was "
            "monitoring; train it again with `switchyard train`, then monitor"
        )
    return read_reference(package.read(VALUES), package.read(ARRAYS))


def read_window(
    usecase: UseCase, settings: RegistrySettings, window: int | None = None, hours: float | None = None
) -> Window:
    """The newest `window` decisions (by default as many as `monitoring.window` says), or those of `hours`."""
    if window is not None and hours is not None:
        raise StepError("expected --window or --since, not both")
    blocks = decision_blocks(settings.home / "journal", usecase)
    if hours is not None:
        return since(blocks, (datetime.now(UTC) - timedelta(hours=hours)).isoformat())
    return newest(blocks, window or usecase.monitoring.window)
