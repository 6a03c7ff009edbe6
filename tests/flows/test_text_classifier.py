"""The text classifier learns, tells what it has not seen, and is exported as the same model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feature_checks.usecase import UseCase, load_usecase
from flows.errors import StepError
from flows.kinds import network
from flows.kinds.text_classifier import FittedText, fit
from flows.kinds.text_corpus import Quantised
from flows.kinds.text_model import rarity
from flows.steps.local_build import open_exported
from tests.toy import LABELS, OUTSIDE, text_rows, write_text_usecase

QUICK: Mapping[str, Any] = {"epochs": 8, "hidden": 32, "topics": 16, "min_rows": 2, "folds": 3}
STRANGE = [
    "",
    "   \n\t ",
    "zzzqqq xxyyxx",
    "🙂🙃 💳",
    "أين طردي؟ لم يصل بعد",
    "ｗｈｅｒｅ is it",
    "half a pair \ud83d here",
    "it never came " * 300,
    "<CARD_1> never came to <EMAIL_12>",
]


def frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["text", "kind"])


def of_text(folder: Path, **changes: Any) -> UseCase:
    risk = {"max_error": 0.2, "confidence": 0.9}
    local = {"model": "parcels-kind", "kind": "text_classifier", "risk": risk, "outside": OUTSIDE}
    write_text_usecase(folder, local=local, **changes)
    return load_usecase("parcels", folder)


@pytest.fixture(scope="module")
def usecase(tmp_path_factory: pytest.TempPathFactory) -> UseCase:
    return of_text(tmp_path_factory.mktemp("usecases"))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(text_rows(outside=0))


@pytest.fixture(scope="module")
def fitted(rows: pd.DataFrame, usecase: UseCase) -> FittedText:
    return fit(rows, usecase, QUICK, seed=7)


def exported(fitted: FittedText, usecase: UseCase, folder: Path) -> Any:
    return open_exported(folder, usecase, fitted.labels, fitted.export(folder))


def test_exported_and_original_agree(
    fitted: FittedText, usecase: UseCase, rows: pd.DataFrame, tmp_path: Path
) -> None:
    """To 1e-4 on training texts and on texts that look like nothing in training."""
    texts = [*rows["text"].tolist(), *STRANGE]
    served = exported(fitted, usecase, tmp_path).probabilities([{"text": text} for text in texts])
    original = fitted.probabilities(pd.DataFrame({"text": pd.Series(texts, dtype=object)}))
    assert served.shape == original.shape == (len(texts), len(LABELS))
    assert np.abs(served - original).max() < 1e-4
    assert np.isfinite(served).all()
    assert served.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_it_learns_and_knows_what_it_has_not_seen(fitted: FittedText, rows: pd.DataFrame) -> None:
    """Out-of-fold probabilities are right on rows that the fold's model never saw."""
    truth = np.searchsorted(fitted.labels, rows["kind"].tolist())
    assert fitted.labels == tuple(sorted(LABELS))
    assert fitted.oof.shape == (len(rows), len(LABELS))
    assert fitted.oof.sum(axis=1) == pytest.approx(1)
    assert (fitted.oof.argmax(axis=1) == truth).mean() > 0.95


def test_out_of_fold_means_out_of_fold(usecase: UseCase) -> None:
    """With labels drawn by lot, the model knows its own rows by heart, yet out of fold it only guesses."""
    random = np.random.default_rng(3)
    lots = random.permutation(np.repeat(LABELS, 40))
    words = np.array([f"{a}{b}{c}" for a in "bdfkm" for b in "aeiou" for c in "lnprst"])
    texts = [" ".join(random.choice(words, 6)) for _ in lots]
    rows = pd.DataFrame({"text": texts, "kind": lots})
    fitted = fit(rows, usecase, {**QUICK, "epochs": 25, "drop_hidden": 0.1}, seed=1)
    truth = np.searchsorted(fitted.labels, lots.tolist())
    assert (fitted.oof.argmax(axis=1) == truth).mean() < 0.5
    by_heart = fitted.model.scores(fitted.corpus, fitted.embedding.table())[1]
    assert (by_heart.argmax(axis=1) == truth).mean() > 0.8


def test_the_same_rows_and_seed_give_the_same_bytes(
    fitted: FittedText, usecase: UseCase, rows: pd.DataFrame, tmp_path: Path
) -> None:
    """Twice on one machine: equal files, and equal out-of-fold probabilities."""
    again = fit(rows, usecase, QUICK, seed=7)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    names = fitted.export(tmp_path / "one")
    assert again.export(tmp_path / "two") == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (again.oof == fitted.oof).all()


def test_two_labels_are_enough(usecase: UseCase, rows: pd.DataFrame, tmp_path: Path) -> None:
    """LIBLINEAR has one score for two labels; original and export still agree."""
    some = rows[rows["kind"] != "late"]
    fitted = fit(some, usecase, QUICK, seed=2)
    served = exported(fitted, usecase, tmp_path).probabilities(some.to_dict("records"))
    assert np.abs(served - fitted.probabilities(some)).max() < 1e-4
    truth = np.searchsorted(fitted.labels, some["kind"].tolist())
    assert (served.argmax(axis=1) == truth).mean() > 0.95
    for part in fitted.model.scores(fitted.corpus, fitted.embedding.table()):
        assert (part.argmax(axis=1) == truth).mean() > 0.95


def test_several_text_fields_are_read_together_and_numbers_are_not(
    tmp_path: Path, rows: pd.DataFrame
) -> None:
    """Which field holds the telling words makes no difference; a number field is not text."""
    fields = {"title": {"type": "string"}, "weight": {"type": "number"}, "body": {"type": "string"}}
    usecase = of_text(tmp_path / "usecases", input=fields)
    halves = rows["text"].str.split(", ", n=1, expand=True)
    both = pd.DataFrame({"title": halves[0], "weight": 2.5, "body": halves[1], "kind": rows["kind"]})
    fitted = fit(both, usecase, QUICK, seed=3)
    predictor = exported(fitted, usecase, tmp_path)
    assert fitted.inputs == ("title", "body")
    found = predictor.predict({"title": "hello", "weight": 1.0, "body": "it arrived in pieces"})
    assert found.label == "broken"


@pytest.mark.parametrize(
    ("params", "change", "says"),
    [
        ({"depth": 3}, lambda rows: rows, "depth: Extra inputs.*known keys: folds, min_rows"),
        ({"svm_c": "high"}, lambda rows: rows, "svm_c: Input should be a valid number"),
        ({}, lambda rows: rows[rows["kind"] == "lost"], "got 1 labels"),
        ({}, lambda rows: rows.iloc[19:], "rarest has 1"),
        ({}, lambda rows: rows.iloc[:0], "got 0 labels"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    params: dict[str, Any], change: Any, says: str, rows: pd.DataFrame, usecase: UseCase
) -> None:
    """With an error that names the parameter, or the label count."""
    with pytest.raises(StepError, match=says):
        fit(change(rows), usecase, params, seed=0)


def test_a_use_case_without_text_is_refused(tmp_path: Path, rows: pd.DataFrame) -> None:
    """The error names the use case and what this kind needs."""
    usecase = of_text(tmp_path, input={"text": {"type": "number"}})
    with pytest.raises(StepError, match=r"'parcels'.*needs an input of type string"):
        fit(rows, usecase, {}, seed=0)


def test_the_network_learns_what_no_linear_model_can() -> None:
    """Exclusive or: right on points that it was not trained on."""
    random = np.random.default_rng(0)
    points = random.normal(size=(1200, 2)).astype(np.float32)
    truth = ((points[:, 0] > 0) ^ (points[:, 1] > 0)).astype(np.int64)
    how = network.Settings(hidden=32, epochs=40, drop_input=0.0, drop_hidden=0.1, rate=0.02)
    trained = network.train(points[:1000], truth[:1000], np.ones(2, np.float32), how, seed=0)
    assert (trained.scores(points[1000:]).argmax(axis=1) == truth[1000:]).mean() > 0.95


def test_rows_of_a_label_count_in_the_network_as_its_weight_says() -> None:
    """Where two labels overlap, the one whose rows count more is said more often."""
    random = np.random.default_rng(0)
    points = random.normal(size=(600, 2)).astype(np.float32)
    truth = (random.random(600) < 0.2).astype(np.int64)
    how = network.Settings(hidden=8, epochs=10, drop_input=0.0, drop_hidden=0.0)

    def said(weight: float) -> float:
        trained = network.train(points, truth, np.array([1, weight], np.float32), how, seed=0)
        return float(trained.scores(points).argmax(axis=1).mean())

    assert said(1) < 0.2 < 0.8 < said(16)


def test_a_label_with_few_rows_is_lifted_and_exported_so(
    rows: pd.DataFrame, usecase: UseCase, tmp_path: Path
) -> None:
    """Towards the median label and no further; original and export stay the same model."""
    few = pd.concat([of[: 3 if label == LABELS[0] else 20] for label, of in rows.groupby("kind")])
    few = few.reset_index(drop=True)
    assert rarity(np.array([10, 20, 40, 0])).tolist() == [1.5, 1, 1, 15]
    plain, lifted = (fit(few, usecase, {**QUICK, "rare_lift": strength}, seed=7) for strength in (0.0, 2.0))
    rare = plain.labels.index(LABELS[0])
    before, after = (one.oof / one.oof[:, [rare]] for one in (plain, lifted))
    times = np.where(np.arange(3) == rare, 1, (20 / 3) ** 2)
    np.testing.assert_allclose(before, after * times, rtol=1e-4)
    unsure = pd.DataFrame({"text": ["", "please", "it", "hello, where"]}, dtype=object)
    served = exported(lifted, usecase, tmp_path).probabilities(unsure.to_dict("records"))
    assert np.abs(served - lifted.probabilities(unsure)).max() < 1e-4
    assert np.abs(served - plain.probabilities(unsure)).max() > 0.01


def test_a_quantised_table_is_off_by_half_a_step_at_most() -> None:
    """A step is the row's largest value over 127; a row of zeros stays zero."""
    table = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    table[7] = 0
    quantised = Quantised.of(table)
    assert (np.abs(quantised.table() - table).max(axis=1) <= np.abs(table).max(axis=1) / 254 + 1e-7).all()
    assert quantised.values.dtype == np.int8
