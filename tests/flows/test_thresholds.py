"""The thresholds flow: what the command of services says, as a flow's answer or as its failure."""

import shutil
from pathlib import Path

import pytest
import yaml

from feature_checks.usecase import load_usecase
from flows.deployments import deployments_of
from flows.errors import StepError
from flows.thresholds import thresholds

USECASES = Path(__file__).parents[2] / "usecases"


def test_a_use_case_without_bounds_fails_with_the_commands_own_words(home: Path) -> None:
    with pytest.raises(StepError, match=r"local\.cost"):
        thresholds.fn("support")


def test_it_has_a_deployment_only_where_its_use_case_lets_it_move(tmp_path: Path) -> None:
    def names(folder: Path) -> set[str]:
        return {str(one.flow_name) for one in deployments_of(load_usecase("support", folder))}

    shutil.copytree(USECASES, tmp_path / "usecases")
    assert "thresholds" not in names(tmp_path / "usecases")
    file = tmp_path / "usecases" / "support" / "usecase.yaml"
    read = yaml.safe_load(file.read_text())
    read["local"]["cost"] = {"usd_per_1000": 1.0, "highest": 0.95}
    file.write_text(yaml.safe_dump(read, sort_keys=False))
    assert "thresholds" in names(tmp_path / "usecases")
