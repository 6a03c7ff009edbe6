"""Runs a packaged text classifier: shared featuriser, then one ONNX graph."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from onnxruntime import InferenceSession

from registry.errors import PackageInvalid, RegistryError
from registry.records import Prediction
from registry.runtimes import Package
from registry.runtimes.onnx_session import open_session
from registry.runtimes.text_features import Block, Features, Featuriser, TextTokenizer, join_fields
from registry.runtimes.trust_features import Signals

MODEL, TOKENIZER, VOCABULARY = "model.onnx", "tokenizer.json", "vocabulary.json"
PROBABILITIES, POINT = "probabilities", "point"
"""Outputs of the graph. A package without a learned deferral may have the first alone."""


class TextPredictor:
    """One message at a time on one thread: serving has a worker for each core."""

    def __init__(
        self,
        labels: tuple[str, ...],
        inputs: tuple[str, ...],
        featuriser: Featuriser,
        session: InferenceSession,
    ) -> None:
        self.labels = labels
        self._inputs = inputs
        self._featurise = featuriser
        self._session = session

    def predict(self, fields: Mapping[str, object]) -> Prediction:
        """The most probable label of one request, and its probability."""
        row = self._run(self._read(fields))
        best = int(row.argmax())
        return Prediction(self.labels[best], float(row[best]))

    def probabilities(self, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
        """Probabilities of all labels: shape (n, k), each row sums to 1; the same bits as of each alone."""
        # All texts are read before the first is run: a third quicker than in turn, for caches stay warm.
        seen = [self._read(fields) for fields in rows]
        found = [self._run(features) for features in seen]
        return np.stack(found) if found else np.zeros((0, len(self.labels)), np.float32)

    def signals(self, rows: Sequence[Mapping[str, object]]) -> Signals:
        """What a learned deferral looks at, of one row or more."""
        seen = [self._read(fields) for fields in rows]
        found = [self._session.run([PROBABILITIES, POINT], _feed(features)) for features in seen]
        probabilities = np.stack([sure for sure, _ in found]).astype(np.float64)
        return Signals(probabilities, np.stack([point for _, point in found]), [one.tokens for one in seen])

    def _read(self, fields: Mapping[str, object]) -> Features:
        return self._featurise(join_fields(fields, self._inputs))

    def _run(self, seen: Features) -> np.ndarray:
        row: np.ndarray = self._session.run([PROBABILITIES], _feed(seen))[0]
        return row


def _feed(seen: Features) -> dict[str, np.ndarray]:
    return {"tokens": seen.tokens, "columns": seen.columns, "weights": seen.weights}


def open_package(package: Package) -> TextPredictor:
    """Build the predictor from verified bytes. Raises `PackageInvalid` when they do not fit together."""
    manifest = package.manifest
    try:
        session = open_session(package.read(MODEL), f"'{manifest.name}': {MODEL}")
        featuriser = open_featuriser(package.read(TOKENIZER), package.read(VOCABULARY))
        predictor = TextPredictor(manifest.labels, manifest.inputs, featuriser, session)
        width = predictor.probabilities([{}]).shape[1]
    except RegistryError:
        raise
    except Exception as error:  # tokenizers and onnxruntime raise what they like
        raise PackageInvalid(f"'{manifest.name}' is no text classifier: {type(error).__name__}") from error
    if width != len(manifest.labels):
        raise PackageInvalid(
            f"'{manifest.name}': expected {len(manifest.labels)} labels, the model has {width}"
        )
    return predictor


def open_featuriser(tokenizer: bytes, vocabulary: bytes) -> Featuriser:
    """The featuriser from tokenizer.json and vocabulary.json.

    vocabulary.json: {"tokens": {"names": [...], "idf": [...]}, "chars": {...}}; names in column order.
    """
    raw = json.loads(vocabulary)
    blocks: list[Block] = []
    offset = 0
    for name in ("tokens", "chars"):
        names, idf = raw[name]["names"], np.array(raw[name]["idf"], np.float64)
        if idf.shape != (len(names),):
            raise PackageInvalid(f"{VOCABULARY}: {name}: expected one idf for each of {len(names)} names")
        blocks.append(Block({n: i for i, n in enumerate(names)}, idf, offset))
        offset += len(names)
    return Featuriser(TextTokenizer(tokenizer), *blocks)
