"""What MLflow's own pages show of where a version comes from, read out of its signed evidence. Pure.

Nothing is believed because of it: `verify` and the gate read the package.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_DIGEST = 36  # of MLflow's datasets: an MD5 fits, a SHA-256 does not


@dataclass(frozen=True, slots=True)
class DataInput:
    """One of the files or tables that a run read, as MLflow keeps inputs; `source` is JSON.

    `digest` is what DVC knows the file by (MD5) where it is one, else the beginning of the SHA-256, which
    stands in full in `sha256`. `context` is the role: train, test, …
    """

    name: str
    digest: str
    sha256: str
    context: str
    rows: int | None
    source_type: str
    source: str

    @property
    def profile(self) -> str | None:
        return None if self.rows is None else json.dumps({"num_rows": self.rows})


@dataclass(frozen=True, slots=True)
class Lineage:
    """`inputs` for the page of the run; `description`, in Markdown, for that of the version."""

    inputs: tuple[DataInput, ...] = ()
    description: str | None = None


def lineage_of(statement: bytes) -> Lineage:
    """Data, code and environment that an in-toto statement of ours names; nothing of any other document."""
    try:
        predicate = json.loads(statement)["predicate"]
        definition, said = predicate["buildDefinition"], predicate["switchyard_model"]
        usecase, rows = str(definition["externalParameters"]["use_case"]), dict(said["data_rows"])
        named = {str(one["name"]): one for one in definition["resolvedDependencies"]}
        inputs = [_input(usecase, one, rows) for name, one in named.items() if name.startswith("data/")]
        inputs.sort(key=lambda one: not one.context.endswith("-file"))  # where the chain ends comes first
        made = [
            f"- {name}: `{next(iter(named[name]['digest'].values()))}`"
            for name in ("code", "requirements.lock")
            if name in named
        ]
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, StopIteration):
        return Lineage()
    learned = [f"- {_shown(one)}" for one in inputs]
    return Lineage(tuple(inputs), "\n".join(["Learned from:", "", *learned, "", "Made by:", "", *made]))


def _input(usecase: str, dependency: Mapping[str, Any], rows: Mapping[str, int]) -> DataInput:
    role = dependency["name"].removeprefix("data/")
    sha256, uri = str(dependency["digest"]["sha256"]), dependency.get("uri")
    md5 = dependency.get("annotations", {}).get("dvc_md5")
    where = {"url": uri} if uri else {"uri": f"dvc:md5:{md5}" if md5 else f"sha256:{sha256}"}
    return DataInput(
        name=f"{usecase}/{role}",
        digest=str(md5 or sha256[:MAX_DIGEST]),
        sha256=sha256,
        context=role,
        rows=rows.get(role),
        source_type="http" if uri else "local",
        source=json.dumps(where),
    )


def _shown(one: DataInput) -> str:
    rows = "" if one.rows is None else f", {one.rows} rows"
    dvc = "" if one.sha256.startswith(one.digest) else f", DVC `{one.digest}`"
    return f"`{one.name}`{rows}: SHA-256 `{one.sha256}`{dvc}"
