"""Prefect can take a use case as a task's parameter, whatever sections it has."""

from pathlib import Path

import pytest
from prefect.utilities.collections import visit_collection

from feature_checks.usecase import UseCase, list_usecases, load_usecase

FOLDER = Path(__file__).parents[2] / "usecases"
USECASES = [load_usecase(name, FOLDER) for name in list_usecases(FOLDER)]


@pytest.mark.parametrize("usecase", USECASES, ids=lambda one: one.name)
def test_prefect_walks_through_a_use_case(usecase: UseCase) -> None:
    """It calls `dict()` on each section; one with an attribute `keys` would be taken for a mapping."""
    visit_collection(usecase, visit_fn=lambda found: found, max_depth=-1)
