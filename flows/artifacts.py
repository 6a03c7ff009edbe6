"""What a training run leaves in Prefect for people to open: verdict on the data, metrics, two plots, a link.

Pictures are markdown with the image inside, not image artifacts: the UI prints the address of those
below them, and ours would be the whole picture in base64.
"""

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.alarms import Alarm
from flows.steps.files import read_json


def publish_data_check(build: Path, usecase: str) -> None:
    """checked/check.md, if the step got as far as writing it."""
    page = build / "checked" / "check.md"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        create_markdown_artifact(text, key=_key(usecase, "data-check"), description="Is the data fit to use?")


def publish_evaluation(build: Path, usecase: str) -> None:
    """The confusion matrix as a picture, and the pairs that are mistaken most often as a table."""
    evaluation = read_json(build / "evaluation" / "evaluation.json", "evaluate")
    rows = [f"| {pair['actual']} | {pair['predicted']} | {pair['rows']} |" for pair in evaluation["confused"]]
    table = ["| actual | predicted | rows |", "|---|---|---|", *rows]
    text = "\n".join([_image("Confusion matrix", build / "evaluation" / "confusion.png"), "", *table])
    create_markdown_artifact(text, key=_key(usecase, "confusion"), description="What is mistaken for what")


def publish_metrics(build: Path, usecase: str, metrics: Mapping[str, float]) -> None:
    """All metrics as a table, and error against coverage as a picture."""
    rows = [{"metric": name, "value": round(value, 6)} for name, value in metrics.items()]
    create_table_artifact(
        rows, key=_key(usecase, "metrics"), description="On test rows, by the exported model"
    )
    text = _image("Error against coverage", build / "report" / "coverage.png")
    what = "What each threshold would answer, and get wrong"
    create_markdown_artifact(text, key=_key(usecase, "coverage"), description=what)


def publish_contract_tests(build: Path, usecase: str) -> None:
    """contract/contract-tests.md: every check with expected and got."""
    publish_contract_report((build / "contract" / "contract-tests.md").read_text(encoding="utf-8"), usecase)


def publish_contract_report(text: str, usecase: str) -> None:
    """A report of contract tests as a table."""
    what = "Do data, model, orchestrator and endpoints still fit together?"
    create_markdown_artifact(text, key=_key(usecase, "contract-tests"), description=what)


def publish_registered(usecase: str, found: Mapping[str, Any]) -> None:
    """The registered version, and the way to its MLflow run."""
    said = f"{found['name']} version {found['version']}"
    role = "champion" if found["champion"] else "not champion"
    what = f"{said}, {role}: {found['reason']}"
    run_id = found["mlflow_run_id"]
    if (url := os.environ.get("SWITCHYARD_MLFLOW_URL")) and run_id:
        create_link_artifact(
            f"{url.rstrip('/')}/#/runs/{run_id}", said, key=_key(usecase, "mlflow-run"), description=what
        )
        return
    text = f"{what}\n\nMLflow run `{run_id}`; `switchyard up` starts MLflow's UI."
    create_markdown_artifact(text, key=_key(usecase, "mlflow-run"), description=what)


def publish_monitoring(
    usecase: str, found: Mapping[str, Any], alarm: Alarm | None, report: Path | None
) -> None:
    """The verdict and what it started, every feature as a table, and the way to Evidently's report."""
    rows = [{name: value for name, value in one.items() if name != "examples"} for one in found["features"]]
    create_table_artifact(
        rows, key=_key(usecase, "drift-features"), description="Every feature, the furthest first"
    )
    said = [f"**{'Drift' if found['drifted'] else 'No drift'}**: {found['reason']}", ""]
    said += [
        f"- {one['feature']}: {', '.join(one['examples'])}" for one in found["features"] if one["drifted"]
    ]
    said += [f"- not measured: {name}: {why}" for name, why in found["unmeasured"].items()]
    if alarm is not None:
        does = (
            "starts a retraining"
            if alarm.state == "pending"
            else f"starts nothing: {'; '.join(alarm.refused)}"
        )
        said += ["", f"Alarm `{alarm.id}` {does}."]
    text, what = "\n".join(said), "Has the traffic moved away from the training data?"
    create_markdown_artifact(text, key=_key(usecase, "drift"), description=what)
    if report is not None:
        create_link_artifact(
            report.as_uri(),
            "Evidently's report",
            key=_key(usecase, "drift-report"),
            description="Figures, no texts",
        )


def publish_retraining(usecase: str, alarm: Alarm | None, outcome: str) -> None:
    """Why this run was, with the way to the run that found the drift, and what came of it."""
    why = "Started by hand."
    if alarm is not None:
        why = f"Alarm `{alarm.id}`: {alarm.reason}"
        if alarm.monitored_by:
            why += f" ([the monitoring run](/runs/flow-run/{alarm.monitored_by}))"
    text = f"{why}\n\n{outcome}"
    create_markdown_artifact(text, key=_key(usecase, "retraining"), description="Cause and outcome")


def _key(usecase: str, what: str) -> str:
    """Prefect's keys are lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{usecase}-{what}".lower())


def _image(title: str, file: Path) -> str:
    return f"![{title}](data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()})"
