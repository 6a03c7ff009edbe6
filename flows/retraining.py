"""The retraining flow: the recipe of training on the base data and what was labelled since, up to `shadow`.

take the alarm -> snapshot -> check .. calibrate -> package -> sign -> register -> better? -> shadow

Never champion: that is for people and rollouts. All is made in a folder of the snapshot's name, and what was
signed there is registered as it is. So a run that was killed goes on where it stopped, and the same bytes are
the same version.
"""

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.runtime import flow_run

from feature_checks.datasets import Which, choose_data, default_cache_dir
from feature_checks.usecase import UseCase, load_usecase
from flows import artifacts, training
from flows.alarm_store import AlarmStore
from flows.candidates import better, fresh_rows
from flows.errors import StepError
from flows.params import read_params
from flows.promotion import champion_of, judge
from flows.reuse import fingerprint
from flows.snapshots import Snapshot, newest_snapshot, read_snapshot, snapshots_dir
from flows.steps import fetch as fetch_step
from flows.steps.added import add_rows
from flows.steps.files import build_dir, locked, read_json, write_json
from flows.steps.package import RunIds
from flows.steps.register import open_run
from registry.errors import RegistryError
from registry.placing import bring
from registry.promoting import meant, promote, promoting
from registry.promotion import PromotionDecision
from registry.settings import RegistrySettings
from registry.store import Registry

SHADOW = "shadow"
_MADE = "made.json"


@flow(name="retraining", flow_run_name="{usecase_name}-{alarm}", persist_result=False)
def retraining(
    usecase_name: str,
    alarm: str = "by-hand",
    data: Literal["auto", "sample", "full"] = "auto",
    snapshot: Path | None = None,
    build_root: Path | None = None,
) -> dict[str, Any]:
    """Train a candidate on the base data and a snapshot (default: the newest); returns plain values.

    With an `alarm`, it must be free to be taken: the second of two runs ends at once. Raises what the steps
    raise; the alarm is then `failed`.
    """
    usecase, settings = load_usecase(usecase_name), RegistrySettings()
    store = AlarmStore(settings.home / "monitoring.db")
    run_id, now = str(flow_run.id), datetime.now(UTC)
    taken = None if alarm == "by-hand" else store.take(alarm, run_id, now)
    if alarm != "by-hand" and taken is None:
        return {"usecase": usecase_name, "alarm": alarm, "outcome": "another run has taken this alarm up"}
    try:
        found = (
            read_snapshot(snapshot, now) if snapshot else newest_snapshot(snapshots_dir(usecase_name), now)
        )
        if found is None:
            why = f"no snapshot of labelled rows; review, then `switchyard curate {usecase_name}`"
            if usecase.features is not None:
                why = (
                    "it learns from a table of events; put a newer one into `data:` of usecase.yaml, then "
                    f"`switchyard train {usecase_name}`"
                )
            outcome: dict[str, Any] = {"outcome": f"kept as it is: {why}", "registered": None}
        else:
            which = choose_data(usecase, default_cache_dir())[0] if data == "auto" else data
            outcome = retrain(usecase, found, which, settings, Registry(settings), run_id, build_root)
    except BaseException as error:
        if taken:
            store.settle(taken, "failed", f"{type(error).__name__}; see the run")
        raise
    if taken:
        store.settle(taken, "done", outcome["outcome"])
    artifacts.publish_retraining(usecase_name, taken, outcome["outcome"])
    return {"usecase": usecase_name, "alarm": alarm, "prefect_run_id": run_id, **outcome}


def retrain(
    usecase: UseCase,
    snapshot: Snapshot,
    which: Which,
    settings: RegistrySettings,
    registry: Registry,
    prefect_run: str,
    build_root: Path | None = None,
) -> dict[str, Any]:
    """From a snapshot to a registered candidate, in shadow if it is better; what is not changes nothing."""
    if usecase.local is None:
        raise StepError(f"use case '{usecase.name}' has no `local:` section, so there is no model to retrain")
    name = usecase.local.model
    build = build_dir(usecase.name, f"{which}-{snapshot.digest[:12]}", build_root)
    with locked(build):
        run_id = _made(build, usecase, snapshot, which, registry, prefect_run, settings)
        metrics = read_json(build / "report" / "metrics.json", "package")
        prepared = read_json(build / "prepared" / "prepare.json", "prepare")
        tags = {
            "use_case": usecase.name,
            "data": which,
            "snapshot": snapshot.digest,
            "test_sha256": prepared["test"]["sha256"],
            "contract_version": usecase.version,
        }
        ref = registry.register(build / "signed", name, metrics, tags, run_id)
        with promoting(name, settings, wait=True):
            before, leading = meant(name, SHADOW, registry), champion_of(name, settings, registry)
            champion = leading.model
            package = bring(ref, settings, registry, "candidate")
            judged = judge(package, SHADOW, usecase, settings, leading, [build])
            gates = judged.decision.gates
            if champion is not None:
                gates = (*gates, better(fresh_rows(build, usecase, champion.predictor)))
            decision = PromotionDecision(gates)
            granted = before == ref or promote(
                ref, SHADOW, decision, before, settings, registry, by=f"flow retraining {prefect_run}"[:128]
            )
    said = f"{name} version {ref.version}"
    shown = f"{said} is in shadow" if granted else f"{said} is kept and nothing changes"
    return {
        "outcome": f"{shown}: {decision.reason}",
        "shadow": granted,
        "registered": asdict(ref),
        "metrics": metrics,
        "gates": [asdict(gate) for gate in gates],
        "champion": asdict(champion.ref) if champion and champion.ref != ref else None,
    }


def _made(
    build: Path,
    usecase: UseCase,
    snapshot: Snapshot,
    which: Which,
    registry: Registry,
    prefect_run: str,
    settings: RegistrySettings,
) -> str:
    """Everything up to the signature, once; returns the MLflow run that the evidence names."""
    params = read_params()
    wanted = fingerprint(usecase, which, params)
    note = build / _MADE
    if (build / "signed").is_dir() and note.is_file():
        made = read_json(note, "retrain")
        if made.get("fingerprint") == wanted:
            return str(made["mlflow_run"])
    note.unlink(missing_ok=True)
    run = training.Reusable(build, usecase, which, params, go_on=True)
    run(fetch, build, usecase, which, snapshot)
    try:
        run(training.check, build, usecase)
    finally:
        artifacts.publish_data_check(build, usecase.name)
    run(training.prepare, build, usecase)
    kind = params.of_kind(usecase.local.kind if usecase.local else "")
    run(training.fit, build, usecase, kind, params.seed)
    run(training.evaluate, build, usecase)
    artifacts.publish_evaluation(build, usecase.name)
    run(training.calibrate, build, usecase)
    training.contract(build, usecase, settings, registry, figures=True)
    artifacts.publish_contract_tests(build, usecase.name)
    run_id = open_run(usecase, kind, params.seed, which, registry)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        ids = RunIds(prefect_run, run_id, started_at, datetime.now(UTC).isoformat(timespec="seconds"))
        artifacts.publish_metrics(build, usecase.name, training.package(build, usecase, ids))
        training.sign(build, settings)
    except BaseException:
        with suppress(RegistryError):  # what went wrong first is what counts
            registry.end_run(run_id, failed=True)
        raise
    write_json(note, {"fingerprint": wanted, "mlflow_run": run_id})
    return run_id


def _fetch(build: Path, usecase: UseCase, which: Which, snapshot: Snapshot) -> None:
    fetch_step.fetch(build, usecase, which)
    add_rows(build, usecase, snapshot.rows)


_fetch.__name__ = "fetch"  # the step that it stands for
fetch = training.as_task(_fetch)
