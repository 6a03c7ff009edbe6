"""The evidence that is signed inside a package: what a model learned from, how, and how good it is.

`evidence.json` is an in-toto Statement v1 whose predicate is SLSA Provenance v1; what SLSA has no
field for stands under `switchyard_model`, as its rules for extension fields ask. Its subjects are the
package's other files. `model_card.md` says the same to a person. All but `write_evidence` is pure.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from registry.contents import hash_files
from registry.model_schema import ModelSchema
from registry.packages import MANIFEST
from registry.records import Acceptance, Name

STATEMENT = "evidence.json"
CARD = "model_card.md"
BUILD_TYPE = "https://switchyard.invalid/training/v1"
BUILDER = "https://switchyard.invalid/builders/train/v1"
"""`switchyard train` on some machine; a workflow's own address stands for it in GitHub Actions."""

Metrics = Mapping[str, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class DataEvidence(_Frozen):
    """One data file that training or evaluation read: `role` is train, test, …"""

    role: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(ge=0)
    uri: str | None = None
    dvc_md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")  # as dvc.lock has it


class CheckEvidence(_Frozen):
    """The feature contract's verdict on that data; `failed` names checks, never values."""

    contract_version: str
    passed: bool
    checks: int = Field(ge=0)
    failed: tuple[str, ...] = Field(default=(), strict=False)


class ContractEvidence(_Frozen):
    """The contract tests' verdict; `file` of the package, with that digest, holds every check."""

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    passed: bool
    checks: int = Field(ge=1)
    failed: tuple[str, ...] = Field(default=(), strict=False)


class Evidence(_Frozen):
    """Everything that is known when a package is signed. Ids of runs that did not happen are None.

    `calibration` and `parity` hold what those steps reported; `slices` maps a slice to its metrics.
    """

    use_case: Name
    model: Name
    kind: Name
    summary: str
    labels: tuple[str, ...] = Field(strict=False)
    data: tuple[DataEvidence, ...] = Field(min_length=1, strict=False)
    check: CheckEvidence
    params: Mapping[str, Any]
    seed: int
    metrics: Metrics
    slices: Mapping[str, Metrics] = Field(default_factory=dict)
    acceptance: Acceptance
    calibration: Mapping[str, Any]
    parity: Mapping[str, Any] = Field(default_factory=dict)
    contract_tests: ContractEvidence | None = None
    model_schema: ModelSchema | None = None
    builder: str = BUILDER  # a URI: whoever ran the training
    code_commit: str | None
    code_dirty: bool = False  # the working tree held changes that the commit does not
    lock_sha256: str | None
    prefect_run_id: str | None = None
    mlflow_run_id: str | None = None
    started_at: str | None = None  # ISO 8601, UTC
    finished_at: str | None = None


def statement(evidence: Evidence, files: Mapping[str, str]) -> dict[str, Any]:
    """The in-toto statement about `files` (name -> SHA-256 in hex)."""
    metadata = {
        "invocationId": evidence.prefect_run_id,
        "startedOn": evidence.started_at,
        "finishedOn": evidence.finished_at,
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": files[name]}} for name in sorted(files)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "use_case": evidence.use_case,
                    "params": dict(evidence.params),
                    "seed": evidence.seed,
                },
                "resolvedDependencies": _dependencies(evidence),
            },
            "runDetails": {
                "builder": {"id": evidence.builder},
                "metadata": {key: value for key, value in metadata.items() if value is not None},
            },
            "switchyard_model": {
                "name": evidence.model,
                "kind": evidence.kind,
                "labels": list(evidence.labels),
                "check": evidence.check.model_dump(mode="json"),
                "metrics": dict(evidence.metrics),
                "slices": {name: dict(metrics) for name, metrics in evidence.slices.items()},
                "acceptance": evidence.acceptance.model_dump(mode="json"),
                "calibration": dict(evidence.calibration),
                "parity": dict(evidence.parity),
                **_tested(evidence),
                "data_rows": {item.role: item.rows for item in evidence.data},
                "code_dirty": evidence.code_dirty,
                "prefect_run_id": evidence.prefect_run_id,
                "mlflow_run_id": evidence.mlflow_run_id,
            },
        },
    }


def model_card(evidence: Evidence) -> str:
    """The statement in Markdown, for a person who must decide whether to trust this model."""
    bound = evidence.acceptance
    commit = (evidence.code_commit or "unknown") + (
        " with uncommitted changes" if evidence.code_dirty else ""
    )
    verdict = "passed" if evidence.check.passed else f"FAILED: {', '.join(evidence.check.failed)}"
    blocks = [
        f"# {evidence.model}",
        evidence.summary,
        f"A `{evidence.kind}` for the use case `{evidence.use_case}`.",
        f"## When it may answer\n\n{_promise(bound)}{_learned(evidence)}",
        "## How good it is\n\n" + _table(("metric", "value"), sorted(evidence.metrics.items())),
    ]
    if evidence.slices:
        rows = [
            (s, m, v) for s, metrics in sorted(evidence.slices.items()) for m, v in sorted(metrics.items())
        ]
        blocks.append("### By slice\n\n" + _table(("slice", "metric", "value"), rows))
    data = [(item.role, item.rows, f"`{item.sha256}`", item.uri or "") for item in evidence.data]
    settings = [("seed", evidence.seed), *sorted(evidence.params.items())]
    made = [
        ("code", commit),
        ("environment lock", evidence.lock_sha256 or "unknown"),
        ("Prefect run", evidence.prefect_run_id or "none"),
        ("MLflow run", evidence.mlflow_run_id or "none"),
        ("finished", evidence.finished_at or "unknown"),
    ]
    blocks += [
        "## What it learned from\n\n" + _table(("role", "rows", "SHA-256", "from"), data),
        f"Feature contract `{evidence.check.contract_version}`: {evidence.check.checks} checks, {verdict}.",
        *_contract_lines(evidence),
        "## How it was made\n\n" + _table(("", ""), made) + "\n\n" + _table(("setting", "value"), settings),
        f"## Labels\n\n{len(evidence.labels)}: {', '.join(_cell(label) for label in evidence.labels)}",
    ]
    return "\n\n".join(blocks) + "\n"


def write_evidence(folder: Path, evidence: Evidence) -> list[str]:
    """Write both files about what already lies in `folder`; returns their names, for package.json.

    package.json and the two themselves are no subjects: the signature over the folder binds those.
    """
    files = hash_files(folder, f"'{evidence.model}' ({folder.name})")
    subjects = {name: digest for name, digest in files.items() if name not in (MANIFEST, STATEMENT, CARD)}
    text = json.dumps(statement(evidence, subjects), indent=1, sort_keys=True, allow_nan=False, default=str)
    (folder / STATEMENT).write_text(text + "\n", encoding="utf-8")
    (folder / CARD).write_text(model_card(evidence), encoding="utf-8")
    return [STATEMENT, CARD]


def _contract_lines(evidence: Evidence) -> list[str]:
    tests = evidence.contract_tests
    if tests is None:
        return []
    verdict = "passed" if tests.passed else f"FAILED: {', '.join(_cell(name) for name in tests.failed)}"
    return [f"Contract tests: {tests.checks} checks, {verdict} (`{tests.file}`)."]


def _promise(bound: Acceptance) -> str:
    kept = f"with {bound.confidence:.0%} confidence, at most {bound.max_error:.1%} of its answers are wrong"
    if bound.threshold > 1:
        return f"Never by itself: no threshold keeps the promise that {kept} ({bound.method})."
    relaxed = bound.relaxed
    when_short = (
        f" While the cloud budget is short, from {relaxed.threshold:.4g} on: then, at most "
        f"{relaxed.max_error:.1%} are."
        if relaxed and relaxed.threshold <= 1
        else ""
    )
    return (
        f"Only with a confidence of at least {bound.threshold:.4g}: then, {kept} ({bound.method})."
        f"{when_short} Everything else goes on to the next step of the plan."
    )


def _learned(evidence: Evidence) -> str:
    if evidence.calibration.get("deferral") != "learned":
        return ""
    return " Its confidence is what the learned deferral (`deferral.json`) makes of the model's own."


def _tested(evidence: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if evidence.contract_tests:
        found["contract_tests"] = evidence.contract_tests.model_dump(mode="json")
    if evidence.model_schema:
        found["model_schema"] = evidence.model_schema.model_dump(mode="json")
    return found


def _dependencies(evidence: Evidence) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in evidence.data:
        entry: dict[str, Any] = {"name": f"data/{item.role}", "digest": {"sha256": item.sha256}}
        if item.dvc_md5:
            # No digest to trust, and so no digest of the statement: it finds the file in DVC's cache.
            entry["annotations"] = {"dvc_md5": item.dvc_md5}
        found.append({**entry, "uri": item.uri} if item.uri else entry)
    if evidence.code_commit:
        found.append({"name": "code", "digest": {"gitCommit": evidence.code_commit}})
    if evidence.lock_sha256:
        found.append({"name": "requirements.lock", "digest": {"sha256": evidence.lock_sha256}})
    return found


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
