"""Writes a text model as an ONNX graph, a tokenizer and a vocabulary: all that its runtime reads.

tokens  -> rows of the embedding -> mean -> centred direction -+-> network ------+
columns -> rows of the n-gram table x weights -+-> topics -----+                 +-> softmax
                                               +-> scores of the linear machine -+
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from flows.kinds.text_corpus import Corpus, Quantised
from flows.kinds.text_model import TINY, Model
from registry.runtimes.text_classifier import MODEL, POINT, PROBABILITIES, TOKENIZER, VOCABULARY

_OPSET = 17
_IR_VERSION = 10  # the oldest that has all we use: more runtimes can read it


def write_model(
    folder: Path, model: Model, corpus: Corpus, embedding: Quantised, tokenizer: bytes
) -> list[str]:
    """model.onnx, tokenizer.json, vocabulary.json in `folder`; returns their names."""
    names = (corpus.token_names, corpus.char_names)
    blocks = zip(("tokens", "chars"), names, model.reading.columns, model.reading.idf, strict=True)
    vocabulary = {
        block: {"names": [all_names[c] for c in columns], "idf": idf.tolist()}
        for block, all_names, columns, idf in blocks
    }
    (folder / MODEL).write_bytes(_graph(model, embedding))
    (folder / TOKENIZER).write_bytes(tokenizer)
    text = json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":"))
    (folder / VOCABULARY).write_text(text, encoding="utf-8")
    return [MODEL, TOKENIZER, VOCABULARY]


def _graph(model: Model, embedding: Quantised) -> bytes:
    """tokens, columns, weights -> probabilities (k,), and the direction (e,) of the mean embedding."""
    reading, net = model.reading, model.network
    machine, network = (np.float32(weight) for weight in model.blend)
    constants: dict[str, Any] = {
        "embedding": embedding.values,
        "embedding_scales": embedding.scales[:, None],
        "center": reading.center,
        "tiny": TINY,
        "embedding_length": np.float32(reading.embedding_length),
        "topics": reading.topics.values,
        "topics_scales": reading.topics.scales[:, None],
        "topics_center": reading.topics_center,
        "topics_scale": np.float32(reading.topics_scale),
        "svm_weights": model.svm_weights,
        "svm_blend": machine,
        "first": net.first,
        "first_bias": net.first_bias,
        "second": net.second * network,
        "bias": net.second_bias * network + model.svm_bias * machine + model.lift,
    }
    node = helper.make_node
    nodes = [
        *_scaled_rows("embedding", "tokens"),
        node("ReduceMean", ["embedding_rows"], ["mean"], axes=[0], keepdims=1),
        node("Sub", ["mean", "center"], ["centred"]),
        node("ReduceL2", ["centred"], ["norm"], axes=[1], keepdims=1),
        node("Add", ["norm", "tiny"], ["length"]),
        node("Div", ["centred", "length"], ["unit"]),
        node("Mul", ["unit", "embedding_length"], ["direction"]),
        node("Unsqueeze", ["weights", "zero"], ["weights_row"]),
        *_scaled_rows("topics", "columns"),
        node("MatMul", ["weights_row", "topics_rows"], ["placed"]),
        node("Sub", ["placed", "topics_center"], ["placed_centred"]),
        node("Mul", ["placed_centred", "topics_scale"], ["topics_found"]),
        node("Concat", ["direction", "topics_found"], ["dense"], axis=1),
        node("Gemm", ["dense", "first", "first_bias"], ["before"]),
        node("Relu", ["before"], ["hidden"]),
        node("Gemm", ["hidden", "second", "bias"], ["network_scores"]),
        node("Gather", ["svm_weights", "columns"], ["svm_half"]),
        node("Cast", ["svm_half"], ["svm_rows"], to=TensorProto.FLOAT),
        node("MatMul", ["weights_row", "svm_rows"], ["svm_scores"]),
        node("Mul", ["svm_scores", "svm_blend"], ["svm_part"]),
        node("Add", ["network_scores", "svm_part"], ["scores"]),
        node("Softmax", ["scores"], ["probabilities_row"], axis=-1),
        node("Squeeze", ["probabilities_row", "zero"], [PROBABILITIES]),
        node("Squeeze", ["unit", "zero"], [POINT]),
    ]
    constants["zero"] = np.zeros(1, np.int64)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "text_classifier",
        [
            value("tokens", TensorProto.INT64, ["t"]),
            value("columns", TensorProto.INT64, ["m"]),
            value("weights", TensorProto.FLOAT, ["m"]),
        ],
        [
            value(PROBABILITIES, TensorProto.FLOAT, [len(model.svm_bias)]),
            value(POINT, TensorProto.FLOAT, [len(reading.center)]),
        ],
        [numpy_helper.from_array(np.asarray(held), name) for name, held in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    made.ir_version = _IR_VERSION
    checker.check_model(made)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _scaled_rows(table: str, chosen: str) -> list[Any]:
    """Rows of a quantised table as 32-bit numbers, named `<table>_rows`."""
    node = helper.make_node
    return [
        node("Gather", [table, chosen], [f"{table}_bytes"]),
        node("Cast", [f"{table}_bytes"], [f"{table}_whole"], to=TensorProto.FLOAT),
        node("Gather", [f"{table}_scales", chosen], [f"{table}_row_scales"]),
        node("Mul", [f"{table}_whole", f"{table}_row_scales"], [f"{table}_rows"]),
    ]
