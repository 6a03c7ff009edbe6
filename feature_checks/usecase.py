"""The strict model of a use-case folder (`usecases/<name>/usecase.yaml`), read by every room.

Frozen values only. Unknown keys, wrong types and missing files are a `UseCaseError` that names
file, key and what is allowed. Nothing here knows what any use case is about.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError, model_validator

from feature_checks.contract_spec import ContractSpec
from feature_checks.cost_spec import CostSpec
from feature_checks.data_spec import MADE, DataSpec
from feature_checks.errors import UseCaseError
from feature_checks.feature_spec import FeatureSpec
from feature_checks.federated_spec import FederatedSpec
from feature_checks.folders import folder_version
from feature_checks.learning_spec import LearningSpec
from feature_checks.monitoring_spec import MonitoringSpec
from feature_checks.promotion_spec import PromotionSpec
from feature_checks.review_spec import ReviewSpec
from feature_checks.risk_spec import RiskSpec
from feature_checks.slo_spec import SloSpec
from feature_checks.strict_model import Strict
from feature_checks.strict_yaml import allowed_keys, explain, read_mapping
from feature_checks.verification import Verification, files, misfits, read_verification

Step = Literal["rules", "cache", "local", "cloud", "merge", "stale", "safe_default"]
Tag = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Verify = Annotated[InstanceOf[Verification], BeforeValidator(read_verification)]


class FieldSpec(Strict):
    """One input or output field: its type, its bounds, and the data tags that policy sees."""

    type: Literal["string", "number", "integer", "boolean", "timestamp"]
    tags: tuple[Tag, ...] = Field(default=(), strict=False)
    required: bool = True
    min_length: int = Field(default=0, ge=0)
    max_length: int = Field(default=2000, ge=1, le=100_000)
    minimum: float | None = None
    maximum: float | None = None
    beyond: Literal["refused", "noted"] = "refused"  # a request with a number outside of these bounds
    values: str | None = None  # a file in the folder: one allowed value a line
    template: str | None = None  # output only: a YAML file in the folder, label -> approved text


class LocalSpec(Strict):
    """The local model: its registered name, its kind, and the risk that its owner accepts."""

    model: Name
    kind: Name
    risk: RiskSpec
    outside: str | None = None  # label of rows that no label fits: never trained on, never answered
    cost: CostSpec | None = None  # None: the threshold stays the calibrated one
    federated: FederatedSpec | None = None  # a sender's own score, combined with the model's
    deferral: Literal["confidence", "learned"] = "confidence"  # what the threshold is on

    @model_validator(mode="after")
    def _one_threshold(self) -> "LocalSpec":
        if self.cost is not None and self.risk.by_label:
            raise ValueError("cost: follows one threshold, and `risk.by_label` has one for each label")
        if self.federated is not None and self.deferral == "learned":
            raise ValueError("deferral: learned: a model with `federated` has its confidence from elsewhere")
        return self


class BudgetSpec(Strict):
    usd_per_day: float = Field(ge=0)
    usd_per_request: float = Field(ge=0)
    shadow_usd_per_day: float | None = Field(default=None, ge=0)  # None: a tenth of usd_per_day

    @property
    def shadow(self) -> float:
        """What copies to a candidate in shadow may cost a day, of all tenants together, in USD."""
        return self.usd_per_day / 10 if self.shadow_usd_per_day is None else self.shadow_usd_per_day


class CloudSpec(Strict):
    """Which configured endpoints may be asked, in order, with which prompt and output contract."""

    endpoints: tuple[Name, ...] = Field(min_length=1, strict=False)
    prompt: str
    output_schema: str
    budget: BudgetSpec
    timeout_s: float = Field(default=8, gt=0, le=120)
    retries: int = Field(default=1, ge=0, le=3)  # of the same endpoint, where nothing can have been billed
    hedge_after_s: float | None = Field(default=None, gt=0, le=60)  # then the next endpoint is asked as well
    max_output_tokens: int = Field(default=200, ge=1, le=8192)
    streaming: Literal["verified", "incremental"] = "verified"  # may text go out before all of it is there?
    stream_idle_s: float = Field(default=5, gt=0, le=120)  # the longest silence within a streamed answer


class StaleSpec(Strict):
    """Plan step `stale`: how old an earlier answer to the very same request may be."""

    max_age_s: float = Field(gt=0, le=30 * 86_400)


class RetentionSpec(Strict):
    """For how many days the journal keeps contents; the shortest of a request's tags counts."""

    default_days: int | None = Field(default=None, ge=1)
    by_tag: Mapping[Tag, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


class UseCase(Strict):
    """One use case, as its team wrote it. `root` is its folder; `version` names its exact content."""

    name: Name
    summary: str = Field(min_length=1, max_length=300)
    data: DataSpec
    input: Mapping[str, FieldSpec] = Field(min_length=1)
    output: Mapping[str, FieldSpec] = Field(min_length=1)
    label: str
    features: FeatureSpec | None = None
    local: LocalSpec | None = None
    plan: tuple[Step, ...] = Field(min_length=1, strict=False)
    cloud: CloudSpec | None = None
    stale: StaleSpec | None = None
    verify: tuple[Verify, ...] = Field(default=(Verification("output_schema"),), strict=False)
    safe_default: Mapping[str, Any]
    review: ReviewSpec = ReviewSpec()
    slo: SloSpec = SloSpec()
    retention: RetentionSpec | None = None
    promotion: PromotionSpec = PromotionSpec()
    learning: LearningSpec | None = None
    monitoring: MonitoringSpec = MonitoringSpec()
    contract: ContractSpec = ContractSpec()
    root: Path = Field(exclude=True, strict=False)
    version: str = Field(exclude=True)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "UseCase":
        if self.label not in self.output:
            raise ValueError(
                f"label: '{self.label}' is not an output field; outputs: {', '.join(self.output)}"
            )
        if len(set(self.plan)) != len(self.plan):
            raise ValueError("plan: a step is named twice")
        if "merge" in self.plan and "cloud" in self.plan[self.plan.index("merge") :]:
            raise ValueError("plan: merge must come after cloud, whose answer it weighs")
        if "safe_default" in self.plan and self.plan[-1] != "safe_default":
            raise ValueError("plan: safe_default must come last, since nothing after it is ever tried")
        for step, part in (("local", self.local), ("cloud", self.cloud), ("stale", self.stale)):
            if step in self.plan and part is None:
                raise ValueError(f"plan: names '{step}', but there is no '{step}:' section")
        if problem := self._unfit_events():
            raise ValueError(problem)
        if extra := set(self.safe_default) ^ set(self.output):
            raise ValueError(
                f"safe_default: must hold exactly the output fields; differs in {', '.join(sorted(extra))}"
            )
        texts = {name for name, spec in self.output.items() if spec.type == "string"}
        if misfit := next(misfits(self.verify, set(self.input), texts), None):
            raise ValueError(f"verify: {misfit}")
        return self

    def _unfit_events(self) -> str | None:
        full = self.data.full
        if (self.data.sample_split or (full and full.split)) and self.features is None:
            return "data: a split by time needs a `features:` section, which names the field of time"
        if self.data.sample.endswith(MADE) and self.data.sample_split is None:
            return "data.sample_split: is missing; a sample that is made is split by time"
        if (key := self.data.leave_out_known) and key not in self.input:
            return f"data.leave_out_known: '{key}' is no input field"
        if self.features is None and any(spec.beyond == "noted" for spec in self.input.values()):
            return "input: `beyond: noted` needs a `features:` section: they are what is then left out"
        federated = self.local.federated if self.local else None
        if federated and (problem := federated.misfit(self.input)):
            return f"local.federated: {problem}"
        misfit = self.features.misfit({n: s.type for n, s in self.input.items()}) if self.features else None
        return f"features: {misfit}" if misfit else None

    @property
    def model_inputs(self) -> tuple[str, ...]:
        """What the local model sees of a request: its features where the use case declares some."""
        return tuple(self.features.columns) if self.features else tuple(self.input)

    @property
    def seen_fields(self) -> Mapping[str, FieldSpec]:
        """What those inputs are: a feature is a number without bounds."""
        return dict.fromkeys(self.features.columns, FieldSpec(type="number")) if self.features else self.input

    def path(self, relative: str) -> Path:
        """A file of this folder; refuses a path that leads out of it."""
        found = (self.root / relative).resolve()
        if not found.is_relative_to(self.root.resolve()):
            raise UseCaseError(
                f"{self.root.name}/usecase.yaml: '{relative}' leads out of the use-case folder"
            )
        return found

    def values(self, spec: FieldSpec) -> tuple[str, ...]:
        """The allowed values of a field, in file order; empty when the field is not closed."""
        if spec.values is None:
            return ()
        try:
            lines = self.path(spec.values).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UseCaseError(
                f"{self.root.name}/{spec.values}: expected UTF-8 text, one value a line"
            ) from error
        return tuple(line.strip() for line in lines if line.strip())

    def allowed(self, field: str) -> tuple[str, ...]:
        """The values that output `field` may hold; the label field may also say `local.outside`."""
        values = self.values(self.output[field])
        outside = self.local.outside if self.local else None
        if values and field == self.label and outside and outside not in values:
            return (*values, outside)
        return values

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the local model may answer with."""
        outside = self.local.outside if self.local else None
        return tuple(v for v in self.values(self.output[self.label]) if v != outside)


def usecases_dir() -> Path:
    """The folder that holds all use cases: `SWITCHYARD_USECASES`, else `usecases/` here."""
    return Path(os.environ.get("SWITCHYARD_USECASES", "usecases"))


def list_usecases(folder: Path | None = None) -> list[str]:
    """Names of all folders that hold a usecase.yaml, sorted."""
    return sorted(p.parent.name for p in (folder or usecases_dir()).glob("*/usecase.yaml"))


def load_usecase(name: str, folder: Path | None = None, *, with_data: bool = True) -> UseCase:
    """Read and check one use case by name. Raises `UseCaseError`.

    `with_data` False: of a copy that only serves, in which the data lies nowhere.
    """
    base = folder or usecases_dir()
    root = base / name
    shown = _openable(root / "usecase.yaml")
    if name not in list_usecases(base):
        known = ", ".join(list_usecases(base)) or "none"
        raise UseCaseError(f"{shown}: no such use case; known: {known}")
    raw = read_mapping(root / "usecase.yaml", shown)
    for reserved in ("root", "version"):
        if reserved in raw:
            raise UseCaseError(f"{shown}: key '{reserved}' is not known; allowed: {allowed_keys(UseCase)}")
    try:
        usecase = UseCase(**raw, root=root, version=folder_version(root))
    except ValidationError as error:
        raise UseCaseError(f"{shown}: {explain(error, UseCase)}") from None
    if usecase.name != name:
        raise UseCaseError(f"{shown}: name: expected '{name}' (the folder's name), got '{usecase.name}'")
    _check_files(usecase, shown, with_data)
    return usecase


def _openable(file: Path) -> str:
    """A path that can be opened from here as it stands: relative where the file lies below."""
    absolute = file.absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def _check_files(usecase: UseCase, shown: str, with_data: bool) -> None:
    named: dict[str, str | None] = {"access policy": "policy.cedar"}
    if with_data:
        named["data.sample"] = usecase.data.sample
    for side, fields in (("input", usecase.input), ("output", usecase.output)):
        for name, spec in fields.items():
            named[f"{side}.{name}.values"] = spec.values
            named[f"{side}.{name}.template"] = spec.template
    if usecase.cloud:
        named["cloud.prompt"] = usecase.cloud.prompt
        named["cloud.output_schema"] = usecase.cloud.output_schema
    if "rules" in usecase.plan:
        named["plan: rules needs"] = "rules.json"
    if "merge" in usecase.plan:
        named["plan: merge needs"] = "merge.json"
    named["contract.cases"] = usecase.contract.cases
    named.update(files(usecase.verify))
    for key, relative in named.items():
        if relative is not None and not usecase.path(relative).is_file():
            raise UseCaseError(f"{shown}: {key}: there is no file '{relative}' in {usecase.root.name}/")
    for side, fields in (("input", usecase.input), ("output", usecase.output)):
        for name, spec in fields.items():
            values = usecase.values(spec)
            if twice := sorted({value for value in values if values.count(value) > 1}):
                listed = f"{spec.values} lists a value twice: {', '.join(twice[:5])}"
                raise UseCaseError(f"{shown}: {side}.{name}.values: {listed}")
    if usecase.features and usecase.local and usecase.features.positive not in usecase.labels:
        raise UseCaseError(
            f"{shown}: features.positive: '{usecase.features.positive}' is not one of the labels"
        )
    if usecase.local and not usecase.labels:
        raise UseCaseError(f"{shown}: output.{usecase.label}.values: expected a file that lists the labels")
