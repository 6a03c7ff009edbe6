"""params.yaml is read strictly, and DVC runs the same steps as the flow."""

from pathlib import Path

import pytest
import yaml

from flows.errors import StepError
from flows.params import read_params
from flows.stages import STAGES

ROOT = Path(__file__).parents[2]


def test_the_repository_s_own_file_is_valid() -> None:
    assert read_params(ROOT / "params.yaml").pipeline.usecases


def test_without_a_file_there_are_defaults(place: Path) -> None:
    assert read_params().of_kind("any") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: [", "is not YAML"),
        ("seeds: 1", "seeds: Extra inputs"),
        ("seed: -1", "seed: .*greater than or equal to 0"),
        ("pipeline: {data: [all]}", "pipeline.data.0: .*'sample' or 'full'"),
        ("kinds: {toy: 3}", "kinds.toy: .*dictionary"),
    ],
)
def test_a_broken_file_is_refused_by_key(place: Path, text: str, message: str) -> None:
    Path("params.yaml").write_text(text)
    with pytest.raises(StepError, match=rf"params.yaml: {message}"):
        read_params()


def test_dvc_runs_every_step_of_the_flow_in_the_same_order() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages) == list(STAGES)
    for name, stage in stages.items():
        assert stage["cmd"] == f"switchyard stage {name} ${{item.usecase}} --data ${{item.data}}"
        files = [dep for dep in stage["deps"] if dep.startswith(("flows/", "feature_checks", "registry/"))]
        assert all((ROOT / file).exists() for file in files)
