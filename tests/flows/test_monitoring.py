"""Traffic is held against what the model was trained on: read from the real journal, and judged."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from feature_checks.drift import Categories, KnownTexts, Numbers, Share, Texts
from feature_checks.drift_reference import (
    Reference,
    inputs_version,
    read_reference,
    require_same_inputs,
    write_reference,
)
from feature_checks.errors import DriftInputError
from feature_checks.journal_columns import decision_blocks
from feature_checks.journal_window import newest, since
from feature_checks.usecase import SloSpec, UseCase
from flows.drift_report import write_report
from flows.embedding import open_embedder
from flows.errors import StepError
from flows.judging import judge
from flows.monitor_command import hours_of
from flows.monitored import input_features, prediction_features
from flows.monitoring import reference_of
from registry.records import Prediction
from registry.runtimes import judged
from tests.flows.journals import Traffic
from tests.toy import text_rows

KNOWN = [str(text) for text, label in text_rows() if label != "elsewhere"]
STRANGE = [f"please explain cryptocurrency staking rewards number {n} to my wallet" for n in range(200)]


class Sure:
    """A model that knows the usual texts."""

    labels = ("lost", "late", "broken")

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        raise AssertionError

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        return np.array(
            [[0.4, 0.3, 0.3] if "wallet" in str(row["text"]) else [0.9, 0.1, 0.0] for row in rows]
        )


@pytest.fixture
def reference(parcels: UseCase) -> Reference:
    texts = KNOWN[1:] * 5  # an odd number, so that both halves have every text
    features = input_features({"text": texts}, parcels, open_embedder())
    features |= prediction_features(*judged(Sure(), [{"text": text} for text in texts]), Sure.labels, 0.5)
    features["concept.wrong"] = Share(3, 300)
    made = Reference("parcels", "v1", inputs_version(parcels), open_embedder().name, features)
    return read_reference(*write_reference(made))


def written(place: Path, texts: list[str], name: str = "parcels", route: str = "local") -> Path:
    folder = place / "home" / "journal"
    traffic = Traffic(folder, name, "kind")
    for text in texts:
        traffic.decided({"text": text}, "lost", route, confidence=0.9)
    traffic.close()
    return folder


def test_the_journal_is_read_in_columns_packed_and_torn_files_too(parcels: UseCase, place: Path) -> None:
    """Other use cases are left out; a line that is no decision any more is counted, and stops nothing."""
    folder = written(place, KNOWN[:30])
    (packed,) = folder.glob("*.jsonl")
    (folder / f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    written(place, KNOWN[:5])
    written(place, KNOWN[:7], "other")
    torn = next(file for file in folder.glob("*.jsonl") if b"parcels" in file.read_bytes())
    line = torn.read_bytes().splitlines(keepends=True)[1]
    torn.write_bytes(torn.read_bytes() + line.replace(b'"fields":{', b'"fields":[{') + line[:100])
    blocks = list(decision_blocks(folder, parcels, block_bytes=2000))
    rows = [text for block in blocks for text in block.rows["field.text"].to_pylist()]
    assert sorted(rows) == sorted(KNOWN[:30] + KNOWN[:5])
    assert sum(block.lost for block in blocks) == 1
    assert set(blocks[0].rows["route"].to_pylist()) == {"local"}


def test_a_window_is_the_newest_or_a_sample_and_never_empty(parcels: UseCase, place: Path) -> None:
    folder = written(place, KNOWN[:30])
    last = newest(decision_blocks(folder, parcels, 2000), 10)
    assert last.rows["field.text"].to_pylist() == KNOWN[20:30]
    assert (last.total, last.scanned, dict(last.routes)) == (10, 30, {"local": 10})
    drawn = since(decision_blocks(folder, parcels, 2000), "2000", most=8)
    assert (drawn.total, len(drawn.rows), dict(drawn.routes)) == (30, 8, {"local": 30})
    assert drawn.rows == since(decision_blocks(folder, parcels, 2000), "2000", most=8).rows
    with pytest.raises(DriftInputError, match="the window is empty: 30 decisions"):
        since(decision_blocks(folder, parcels), "2999")
    with pytest.raises(DriftInputError, match="expected 1 to 20,000"):
        newest([], 10**6)


def test_a_reference_comes_back_from_its_bytes_and_holds_no_text(parcels: UseCase) -> None:
    texts = [f"word{chr(97 + n % 26)} something" for n in range(3000)]
    made = Reference("parcels", "v", inputs_version(parcels), "e", {
        "n": Numbers(np.random.default_rng(0).normal(size=3000).tolist()),
        "c": Categories(["a"] * 2000 + ["b"] * 1000),
        "s": Share(3, 100),
        "t": Texts(texts, np.random.default_rng(0).normal(size=(3000, 256))),
    })  # fmt: skip
    values, arrays = write_reference(made)
    assert write_reference(made) == (values, arrays)
    assert len(values) + len(arrays) < 1_000_000
    assert b"something" not in values + arrays
    back = read_reference(values, arrays)
    assert back.features["s"] == Share(3, 100)
    kept = back.features["t"]
    assert isinstance(kept, KnownTexts)
    assert kept.embedded.shape == (1500, 256)
    with pytest.raises(DriftInputError, match="cannot be read"):
        read_reference(values.replace(b'"format_version": 1', b'"format_version": 2'), arrays)
    with pytest.raises(DriftInputError, match="cannot be read"):
        read_reference(values, b"nothing")


def test_usual_traffic_is_no_alarm_and_strange_traffic_is_with_ids_for_examples(
    reference: Reference, parcels: UseCase, place: Path
) -> None:
    """Texts are in no finding: an id says where to look, a new word shows where many texts have it."""
    folder = written(place, [KNOWN[n % len(KNOWN)] for n in range(200)])
    usual = newest(decision_blocks(folder, parcels), 200)
    found = judge(parcels, reference, Sure(), 0.5, usual, open_embedder(), "nobody reviewed")
    assert not found.verdict.drifted, found.verdict
    assert found.unmeasured == {"concept.wrong": "nobody reviewed"}
    written(place, STRANGE)
    window = newest(decision_blocks(folder, parcels), 200)
    moved = judge(parcels, reference, Sure(), 0.5, window, open_embedder(), Share(150, 300))
    drifted = {(one.feature, one.measure): one for one in moved.verdict.features if one.drifted}
    assert drifted.keys() >= {
        ("input.text", "classifier_two_sample"), ("input.text", "new_vocabulary"), ("concept.wrong", "share"),
        ("prediction.confidence", "kolmogorov_smirnov"), ("operations.declined", "share"),
    }  # fmt: skip
    assert moved.retrain
    shown = json.dumps(moved.plain())
    assert "to my wallet" not in shown
    ids = set(window.rows["id"].to_pylist())
    assert ids >= set(drifted["input.text", "classifier_two_sample"].examples)


def test_an_outage_is_drift_that_no_training_cures_and_few_rows_are_not_judged(
    reference: Reference, parcels: UseCase, place: Path
) -> None:
    limit = parcels.model_copy(update={"slo": SloSpec(fallback_rate=0.05)})
    folder = written(place, [KNOWN[n % len(KNOWN)] for n in range(200)], route="safe_default")
    window = newest(decision_blocks(folder, limit), 200)
    found = judge(limit, reference, Sure(), 0.5, window, open_embedder(), "-")
    assert [one.feature for one in found.verdict.features if one.drifted] == ["operations.fallback"]
    assert not found.retrain
    fifty = newest(decision_blocks(folder, parcels), 50)
    few = judge(parcels, reference, Sure(), 0.5, fifty, open_embedder(), "-")
    assert (few.verdict.drifted, few.retrain) == (False, False)
    assert few.verdict.reason.startswith("not known")


def test_evidentlys_report_holds_no_text(reference: Reference, parcels: UseCase, place: Path) -> None:
    window = newest(decision_blocks(written(place, STRANGE), parcels), 200)
    found = judge(parcels, reference, Sure(), 0.5, window, open_embedder(), "-")
    file = write_report(found, place / "reports" / "one.html")
    assert file is not None
    page = file.read_text()
    assert "prediction.confidence" in page
    assert "to my wallet" not in page


def test_a_reference_of_other_fields_or_of_another_use_case_is_refused(
    reference: Reference, parcels: UseCase, sums: UseCase
) -> None:
    with pytest.raises(DriftInputError, match="of use case 'parcels', expected 'sums'"):
        require_same_inputs(reference, sums)
    other = Reference("parcels", "old", "0" * 12, reference.embedding, reference.features)
    with pytest.raises(DriftInputError, match="cannot be compared; train with this contract"):
        require_same_inputs(other, parcels)


def test_a_model_without_a_reference_is_told_to_be_trained_again() -> None:
    """One from before there was monitoring, say."""
    package: Any = SimpleNamespace(files={"model.onnx": "0" * 64}, manifest=SimpleNamespace(name="old"))
    with pytest.raises(DriftInputError, match=r"'old' holds no reference.*train it again"):
        reference_of(package)


def test_a_span_is_read_with_its_unit() -> None:
    assert (hours_of("90m"), hours_of("24h"), hours_of("7d")) == (1.5, 24, 168)
    with pytest.raises(StepError, match="expected a number and m, h or d"):
        hours_of("yesterday")
