"""`switchyard usecase new` makes a folder that passes its gate, trains and serves at once, of either kind."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from bench.sample_model import place_sample_model
from feature_checks.datasets import data_files
from feature_checks.gate import gate_files
from feature_checks.scaffold import new_usecase
from feature_checks.usecase import UseCase
from services.bootstrap import Edges, bootstrap
from services.online_features import MemoryHistories
from services.settings import load_settings
from services.values import Caller, Context

SHIPPED = Path(__file__).parents[2] / "usecases"


def asked(usecase: UseCase, row: dict[Any, Any]) -> dict[str, object]:
    """The input of one of its rows, as a request brings it."""
    fields = {name: row[name] for name, spec in usecase.input.items() if spec.required}
    return {n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in fields.items()}


@pytest.mark.parametrize("source", ["support", "fraud"])
async def test_a_new_use_case_trains_and_serves_at_once(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "usecases"
    shutil.copytree(SHIPPED / source, folder / source)
    usecase = new_usecase("fresh", source, folder)
    assert usecase.local is not None
    assert usecase.local.model.startswith("fresh-")
    report, data = gate_files(usecase, data_files(usecase, "sample", tmp_path))
    assert report.passed
    shutil.rmtree(folder / source)
    home = tmp_path / "home"
    place_sample_model(home, usecase, tmp_path / "model", threshold=0.0, labels=3)  # of many: it is quicker
    edges = Edges(endpoints={}, histories=MemoryHistories(), event_clock=None, reviewing=False)
    async with bootstrap(load_settings(home=home, usecases_dir=folder), edges) as runtime:
        served = runtime.calls.usecase("fresh", "use_case")
        caller, until = Caller("acme", "key", frozenset({"caller"})), time.monotonic() + 30
        call = runtime.calls.call(
            served, asked(usecase, data.test.to_dict("records")[0]), Context(), "1" * 32, caller, until
        )
        found = await runtime.pipeline.decide(call)
    assert found.route == "local", json.dumps(found.reasons)
    assert found.output[usecase.label] in usecase.labels
    assert "support" not in json.dumps(found.versions)
