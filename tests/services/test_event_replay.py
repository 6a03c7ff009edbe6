"""An evaluation of events is a replay: rows meet the histories that they would have met, no label sooner."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from feature_checks.datasets import load_labelled
from feature_checks.labelled import LabelledData
from feature_checks.usecase import UseCase, load_usecase
from registry.loading import LoadedModel
from registry.records import Prediction
from services import ranking_report as ranking_report_module
from services.bootstrap import Edges, bootstrap
from services.event_replay import Past, past_rows
from services.online_features import MemoryHistories
from services.ranking_report import ranking_report
from services.replay import TENANT, Replayed, Row, Watcher, replay, rows_of
from services.settings import load_settings
from tests.fakes import FakePredictor
from tests.served import FakePlaced

DAY = pd.Timedelta(days=1)
FOLDER = Path(__file__).parents[2] / "usecases"


class ByAmount(FakePredictor):
    """The more is spent, the surer of fraud; a device's score counts as much again."""

    def __init__(self) -> None:
        super().__init__(("approve", "decline"), "approve")

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        p = 1 / (1 + np.exp((200 - float(fields["spent"])) / 40))  # type: ignore[arg-type]  — a number
        p = (p + float(fields["device_score"])) / 2 if "device_score" in fields else p  # type: ignore[arg-type]  — a number
        return Prediction(self.labels[int(p > 0.5)], float(max(p, 1 - p)))


class Placed(FakePlaced):
    def load(self, name: str) -> LoadedModel:
        loaded = super().load(name)
        return LoadedModel(
            loaded.ref, self.predictor, loaded.acceptance.model_copy(update={"max_error": 0.001}),
            loaded.labels, (), "tabular_classifier", "fake", "fake",
        )  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[UseCase, LabelledData]:
    """The shipped use case with a smaller sample."""
    folder = tmp_path_factory.mktemp("usecases")
    shutil.copytree(FOLDER / "fraud", folder / "fraud")
    recipe = folder / "fraud" / "data" / "sample.yaml"
    said = yaml.safe_load(recipe.read_text())
    said["actors"]["count"], said["places"]["count"], said["patterns"]["above"] = 40, 40, 150
    recipe.write_text(yaml.safe_dump(said))
    usecase = load_usecase("fraud", folder)
    return usecase, load_labelled(usecase, "sample", folder)


async def replayed(
    home: Path, usecase: UseCase, data: LabelledData, test: pd.DataFrame, unsent: Sequence[str] = ()
) -> tuple[list[Row], list[Replayed]]:
    histories, watcher = MemoryHistories(), Watcher()
    edges = Edges(
        placed=Placed(ByAmount()), endpoints={}, histories=histories, event_clock=None, observers=(watcher,),
        reviewing=False, dividing=False,
    )  # fmt: skip
    rows = rows_of(test.to_dict("records"), usecase, labelled=True, unsent=unsent)
    settings = load_settings(home=home, usecases_dir=usecase.root.parent)
    async with bootstrap(settings, edges) as runtime:
        served = runtime.pipeline.use_cases["fraud"].usecase
        past = Past(served, past_rows(served, data, test), TENANT, runtime.hash_key, histories)
        return rows, await replay(runtime, watcher, served, rows, 4, lambda: None, past)


async def test_the_features_of_a_replay_are_those_of_training_and_its_metrics_are_told(
    tmp_path: Path, small: tuple[UseCase, LabelledData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking_report_module, "TIMES", 20)
    usecase, data = small
    rows, came = await replayed(tmp_path, usecase, data, data.test, ["device_score"])
    found = ranking_report(usecase, rows, came)
    assert found["features_max_abs_difference"] <= 1e-9
    for figures in (found, found["plan"], found["federated"]["with_score"]):
        assert 0 < figures["average_precision"] <= 1
        low, high = figures["card_precision_at_100_interval"]
        assert 0 <= low <= figures["card_precision_at_100"] <= high
    assert found["federated"]["simulated"] == ["device_score"]
    assert found["federated"]["with_score"]["roc_auc"] != found["federated"]["alone"]["roc_auc"]
    counts = found["plan"]["decisions"].values()
    assert sum(one["count"] for one in counts) == len(data.test)
    assert sum(one["positive"] for one in counts) == (data.test[usecase.label] == "decline").sum()


async def test_a_label_changes_features_once_it_is_seven_days_old_and_not_sooner(
    tmp_path: Path, small: tuple[UseCase, LabelledData]
) -> None:
    """Turned round are the labels that the last row of the test's first day must not know yet; then one day
    more of them, of which it knows some."""
    usecase, data = small
    assert usecase.features is not None
    day = data.test[data.test["at"] < data.test["at"].min().floor("D") + DAY]
    known = day["at"].max() - DAY * usecase.features.delay_days
    off = []
    for since in (known, known - DAY):
        turned = []
        for part in (data.train, data.history):
            assert part is not None
            other = np.where(part[usecase.label] == "approve", "decline", "approve")
            turned.append(part.assign(decision=part[usecase.label].where(part["at"] <= since, other)))
        _, came = await replayed(
            tmp_path, usecase, LabelledData(turned[0], day, data.outside, turned[1]), day
        )
        off.append(max(one.off or 0.0 for one in came))
    assert off[0] <= 1e-9 < off[1]
