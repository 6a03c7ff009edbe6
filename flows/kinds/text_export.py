"""Writes a linear text model as an ONNX graph, a tokenizer and a vocabulary."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from registry.runtimes.text_classifier import MODEL, TOKENIZER, VOCABULARY

if TYPE_CHECKING:
    from flows.kinds.text_classifier import Vocabulary

OPSET = 17


@dataclass(frozen=True, slots=True)
class LinearText:
    """All numbers of the model. Big tables are in half precision, in the original and in the export."""

    tokenizer: bytes
    vocabulary: "Vocabulary"
    embedding: np.ndarray  # (tokens, d) float16
    center: np.ndarray  # (d,) float32: the mean embedding of the training texts
    sparse_weights: np.ndarray  # (n-grams, k) float16
    dense_weights: np.ndarray  # (d, k) float32
    bias: np.ndarray  # (k,) float32
    scale: float  # inverse temperature
    embedding_weight: float

    def with_weights(self, coefficients: np.ndarray, bias: np.ndarray, scale: float) -> "LinearText":
        """The model with these coefficients (features, k), n-grams first."""
        width = self.vocabulary.width
        return replace(
            self,
            sparse_weights=coefficients[:width].astype(np.float16),
            dense_weights=coefficients[width:].astype(np.float32),
            bias=bias.astype(np.float32),
            scale=scale,
        )


def write_package_files(folder: Path, model: LinearText) -> list[str]:
    """model.onnx, tokenizer.json, vocabulary.json in `folder`; returns their names."""
    vocabulary = {
        name: {"names": names, "idf": idf}
        for name, (names, idf) in (("tokens", model.vocabulary.tokens), ("chars", model.vocabulary.chars))
    }
    (folder / MODEL).write_bytes(_graph(model))
    (folder / TOKENIZER).write_bytes(model.tokenizer)
    (folder / VOCABULARY).write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    return [MODEL, TOKENIZER, VOCABULARY]


def _graph(model: LinearText) -> bytes:
    """tokens, columns, weights -> probabilities (k,)."""
    dense = model.dense_weights * np.float32(model.embedding_weight)
    constants = {
        "embedding": model.embedding,
        "center": model.center,
        "tiny": np.array(1e-12, np.float32),
        "sparse_weights": model.sparse_weights,
        "dense_weights": dense,
        "bias": model.bias,
        "scale": np.array(model.scale, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["embedding", "tokens"], ["token_rows_half"]),
        helper.make_node("Cast", ["token_rows_half"], ["token_rows"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["token_rows"], ["mean"], axes=[0], keepdims=0),
        helper.make_node("Sub", ["mean", "center"], ["centred"]),
        helper.make_node("ReduceL2", ["centred"], ["norm"], axes=[0], keepdims=0),
        helper.make_node("Add", ["norm", "tiny"], ["length"]),
        helper.make_node("Div", ["centred", "length"], ["direction"]),
        helper.make_node("MatMul", ["direction", "dense_weights"], ["dense_scores"]),
        helper.make_node("Gather", ["sparse_weights", "columns"], ["gram_rows_half"]),
        helper.make_node("Cast", ["gram_rows_half"], ["gram_rows"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["weights", "gram_rows"], ["gram_scores"]),
        helper.make_node("Add", ["dense_scores", "gram_scores"], ["both"]),
        helper.make_node("Add", ["both", "bias"], ["scores"]),
        helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "text_classifier",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["t"]),
            helper.make_tensor_value_info("columns", TensorProto.INT64, ["m"]),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["m"]),
        ],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [len(model.bias)])],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = 10
    content: bytes = made.SerializeToString()
    return content
