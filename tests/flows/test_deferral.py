"""Learned deferral: it uses what neighbours say, never rewards doubt, and serves what was trained."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feature_checks.usecase import load_usecase
from flows.errors import StepError
from flows.kinds import deferral
from flows.kinds.deferral import CUTOFF, RISING, Answers, Learned, learn
from flows.steps.deferring import learned_deferral
from registry.errors import PackageInvalid
from registry.runtimes.deferral import ROWS, RULE, Deferral, DeferringPredictor, with_deferral
from registry.runtimes.trust_features import Known, Signals, Table, of_neighbours, of_probabilities, softmax
from tests.toy import write_text_usecase

LABELS, WIDE = 6, 12
FIELDS = {"amount": 1.0}


def made(n: int = 2400, seed: int = 0) -> Answers:
    """Rows around their label's point; scores are wrong where rows lie between labels, and do not know it."""
    draw = np.random.default_rng(seed)
    centers = np.eye(LABELS, WIDE)
    truth = np.arange(n) % LABELS
    spread = draw.uniform(0.1, 0.9, size=(n, 1))
    vectors = centers[truth] + spread * draw.normal(size=(n, WIDE)) / np.sqrt(WIDE)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = 5 * vectors @ centers.T + draw.normal(scale=1.2, size=(n, LABELS))
    tokens = [draw.integers(0, 40, size=5) for _ in range(n)]
    signals = Signals(softmax(scores), vectors.astype(np.float32), tokens)
    return Answers(signals, scores, truth, np.arange(n) // LABELS % 5, [FIELDS] * n, ("amount",))


class Model:
    """A predictor that knows its answers by their number."""

    labels = tuple("abcdef")

    def __init__(self, signals: Signals) -> None:
        self.told = signals

    def _rows(self, rows: Sequence[Mapping[str, object]]) -> list[int]:
        return [int(str(row["row"])) for row in rows]

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        return self.told.probabilities[self._rows(rows)]

    def signals(self, rows: Sequence[Mapping[str, object]]) -> Signals:
        at = self._rows(rows)
        tokens = [self.told.tokens[one] for one in at]
        return Signals(self.told.probabilities[at], self.told.vectors[at], tokens)


@pytest.fixture(scope="module")
def answers() -> Answers:
    return made()


@pytest.fixture(scope="module")
def learned(answers: Answers) -> Learned:
    found = learn(answers, LABELS, 7)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def files(learned: Learned, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("deferral")
    assert learned.write(folder) == [RULE, ROWS]
    return (folder / RULE).read_bytes(), (folder / ROWS).read_bytes()


@pytest.fixture
def served(files: tuple[bytes, bytes]) -> tuple[DeferringPredictor, list[dict[str, object]]]:
    """Over other answers than those learned from."""
    other = made(400, seed=1)
    rows: list[dict[str, object]] = [{"row": at, "amount": 1.0} for at in range(400)]
    return with_deferral(Model(other.signals), *files, "'m'"), rows


def auroc(scores: np.ndarray, right: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, scores))


def test_what_neighbours_say_makes_right_and_wrong_easier_to_tell_apart(
    answers: Answers, learned: Learned
) -> None:
    right = answers.said == answers.truth
    assert auroc(learned.trust, right) > auroc(answers.plain, right) + 0.02


def test_so_it_does_for_answers_that_came_later(
    served: tuple[DeferringPredictor, list[dict[str, object]]],
) -> None:
    predictor, rows = served
    probabilities, trust = predictor.judged(rows)
    right = probabilities.argmax(axis=1) == np.arange(400) % LABELS
    assert auroc(trust, right) > auroc(probabilities.max(axis=1), right) + 0.02


def test_the_same_seed_gives_the_same_trust_and_the_same_bytes(
    answers: Answers, learned: Learned, files: tuple[bytes, bytes], tmp_path: Path
) -> None:
    again = learn(answers, LABELS, 7)
    assert again is not None
    assert np.array_equal(again.trust, learned.trust)
    again.write(tmp_path)
    assert ((tmp_path / RULE).read_bytes(), (tmp_path / ROWS).read_bytes()) == files


def test_serving_says_what_was_trained_one_answer_at_a_time_too(
    learned: Learned, served: tuple[DeferringPredictor, list[dict[str, object]]]
) -> None:
    predictor, rows = served
    probabilities, together = predictor.judged(rows)
    signals = made(400, seed=1).signals
    table = predictor.deferral.table(signals, rows, np.arange(400))
    assert np.abs(learned.trees.trust(table) - together).max() < 1e-5
    for at in range(0, 400, 7):
        said = predictor.predict(rows[at])
        assert said.label == predictor.labels[int(probabilities[at].argmax())]
        assert said.confidence == pytest.approx(together[at], abs=1e-6)
        plain = said.deferred.plain if said.deferred else said.confidence
        assert plain == pytest.approx(probabilities[at].max())


def test_a_sure_answer_keeps_its_confidence_and_costs_no_search(
    served: tuple[DeferringPredictor, list[dict[str, object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, rows = served
    probabilities, trust = predictor.judged(rows)
    sure = probabilities.max(axis=1) >= CUTOFF
    assert sure.any()
    assert np.array_equal(trust[sure], probabilities.max(axis=1)[sure])
    assert (trust[~sure] <= CUTOFF + 1e-12).all()
    monkeypatch.setattr(Deferral, "table", lambda *_: pytest.fail("it looked for neighbours"))
    assert predictor.predict(rows[int(np.flatnonzero(sure)[0])]).deferred is None


@pytest.mark.parametrize("name", sorted(RISING))
def test_more_confidence_or_agreement_is_never_less_trust(
    learned: Learned, answers: Answers, name: str
) -> None:
    draw = np.random.default_rng(3)
    names = learned.trees.names
    values = draw.normal(size=(300, len(names)))
    lifted = values.copy()
    lifted[:, names.index(name)] += 0.3
    before, after = (learned.trees.trust(Table(names, of)) for of in (values, lifted))
    assert (after >= before - 1e-12).all()


def test_a_row_is_no_neighbour_of_its_own_fold_nor_of_a_label_that_was_taken_out() -> None:
    """Its own label would give the answer away."""
    vectors = np.eye(6, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    labels = np.array([0, 1, 0, 1, 0, 1])
    order = np.argsort(labels, kind="stable")
    known = Known(vectors[order], labels[order], np.array([0, 3, 6]), np.zeros(2, np.float32))
    folds = np.array([0, 1, 0, 1, 0, 1])
    near_of = deferral._Near(vectors, known, folds, folds[order])
    own = of_neighbours(near_of(slice(0, 6), None), labels, known)
    assert (own.values[:, own.names.index("nearest_agrees")] == 0).all()
    assert (own.values[:, own.names.index("nearest")] == 1).all()
    gone = of_neighbours(near_of(slice(0, 6), 1 - labels), labels, known)
    assert (gone.values[:, gone.names.index("nearest")] == -1).all()


def test_what_no_label_fits_is_trusted_less_than_by_confidence_alone(
    files: tuple[bytes, bytes],
) -> None:
    """Far from every known row, and the model is as sure as of others."""
    known, draw = made(400, seed=1), np.random.default_rng(5)
    far = np.zeros((400, WIDE), np.float32)
    far[:, LABELS:] = draw.normal(size=(400, WIDE - LABELS))
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    strange = Signals(known.signals.probabilities, far, known.signals.tokens)
    rows: list[dict[str, object]] = [{"row": at} for at in range(400)]
    usual, odd = (with_deferral(Model(of), *files, "'m'").judged(rows)[1] for of in (known.signals, strange))
    assert auroc(np.concatenate([usual, odd]), np.repeat([True, False], 400)) > 0.6  # alone: 0.5


def test_with_too_few_unsure_answers_there_is_nothing_to_learn() -> None:
    assert learn(made(120), LABELS, 7) is None


def test_features_are_finite_for_certain_answers_and_for_two_labels() -> None:
    assert np.isfinite(of_probabilities(np.array([[1.0, 0.0], [0.5, 0.5]])).values).all()


def _broken(rule: bytes, change: Any) -> bytes:
    read = json.loads(rule)
    change(read)
    return json.dumps(read).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda rule: rule.update(format=2),
        lambda rule: rule.pop("trees"),
        lambda rule: rule.update(names=rule["names"][:2]),
        lambda rule: rule["trees"]["feature"][0].__setitem__(0, 99),
    ],
)
def test_files_that_do_not_fit_are_refused_when_the_package_is_opened(
    files: tuple[bytes, bytes], change: Any
) -> None:
    rule, rows = files
    with pytest.raises(PackageInvalid):
        with_deferral(Model(made(10).signals), _broken(rule, change), rows, "'m'")


def test_a_pickle_among_the_rows_is_never_opened(files: tuple[bytes, bytes], tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", projection=np.array([{"a": 1}], dtype=object))
    with pytest.raises(PackageInvalid):
        with_deferral(Model(made(10).signals), files[0], (tmp_path / "rows.npz").read_bytes(), "'m'")


def test_a_model_that_tells_nothing_cannot_have_one(files: tuple[bytes, bytes]) -> None:
    with pytest.raises(PackageInvalid, match="tells nothing"):
        with_deferral(object(), *files, "'m'")


def test_a_kind_that_tells_too_little_says_what_to_write(tmp_path: Path) -> None:
    local = {"model": "m", "kind": "toy", "risk": {"max_error": 0.2}, "deferral": "learned"}
    write_text_usecase(tmp_path, local=local)
    usecase = load_usecase("parcels", tmp_path)
    with pytest.raises(StepError, match="deferral: confidence"):
        learned_deferral(object(), pd.DataFrame(), usecase, 7)
