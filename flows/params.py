"""`params.yaml`: the settings that shape a model, shared by flows and DVC stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.errors import StepError

FILE = Path("params.yaml")


class PipelineParams(BaseModel):
    """What `dvc repro` makes: these use cases, each on these data sets."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    usecases: tuple[str, ...] = Field(default=(), strict=False)
    data: tuple[Literal["sample", "full"], ...] = Field(default=("sample",), strict=False)


class Params(BaseModel):
    """The whole file. `kinds` maps a model kind to its parameters; the kind checks them itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = Field(default=7, ge=0)
    pipeline: PipelineParams = PipelineParams()
    kinds: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    def of_kind(self, kind: str) -> Mapping[str, Any]:
        """The parameters of one model kind; empty means that kind's own defaults."""
        return self.kinds.get(kind, {})


def read_params(file: Path = FILE) -> Params:
    """The parameters of the folder in which the command runs; defaults where there is no file."""
    if not file.exists():
        return Params()
    try:
        return Params.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise StepError(f"{file.name}: is not YAML") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StepError(f"{file.name}: {problems}") from None
