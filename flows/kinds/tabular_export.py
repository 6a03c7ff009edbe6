"""Writes boosted trees as an ONNX graph, and as the leaves from which exact reasons are worked out.

Thresholds become the largest 32-bit number that is not above them: for 32-bit inputs, `x <= threshold` then
says the same as it did in training.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from registry.runtimes.tabular_classifier import COLUMNS, MODEL
from registry.runtimes.tree_reasons import TREES

_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 10
_ALWAYS = (None, None, 1.0)  # of a condition: low, high, share of rows

Path_ = Mapping[int, tuple[float | None, float | None, float]]


def write_model(
    folder: Path, dumped: Mapping[str, Any], columns: tuple[str, ...], slope: float, offset: float
) -> list[str]:
    """model.onnx, trees.json, columns.json in `folder`; `dumped` is LightGBM's `dump_model()`."""
    trees = [tree["tree_structure"] for tree in dumped["tree_info"]]
    (folder / MODEL).write_bytes(_graph(trees, len(columns), slope, offset))
    text = json.dumps(leaves(trees, slope, offset), separators=(",", ":"))
    (folder / TREES).write_text(text, encoding="utf-8")
    (folder / COLUMNS).write_text(json.dumps({"columns": columns}) + "\n", encoding="utf-8")
    return [MODEL, TREES, COLUMNS]


@dataclass
class _Nodes:
    """The attributes of ONNX's TreeEnsembleRegressor, as they grow."""

    attributes: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, **values: Any) -> None:
        for name, value in values.items():
            self.attributes.setdefault(name, []).append(value)


def _graph(trees: list[Any], columns: int, slope: float, offset: float) -> bytes:
    """features (n, columns) -> probabilities (n, 2)."""
    nodes = _Nodes()
    for number, tree in enumerate(trees):
        _add_tree(nodes, number, tree)
    node = helper.make_node
    steps = [
        node(
            "TreeEnsembleRegressor",
            ["features"],
            ["raw"],
            domain="ai.onnx.ml",
            n_targets=1,
            **nodes.attributes,
        ),
        node("Mul", ["raw", "slope"], ["scaled"]),
        node("Add", ["scaled", "offset"], ["logit"]),
        node("Sigmoid", ["logit"], ["positive"]),
        node("Sub", ["one", "positive"], ["negative"]),
        node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
    ]
    constants = {"slope": slope, "offset": offset, "one": 1.0}
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        steps,
        "tabular_classifier",
        [value("features", TensorProto.FLOAT, ["n", columns])],
        [value("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array([held], np.float32), name) for name, held in constants.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = _IR_VERSION
    checker.check_model(made)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _add_tree(nodes: _Nodes, tree: int, root: Mapping[str, Any]) -> None:
    waiting, count = [(root, 0)], 1
    while waiting:
        node, own = waiting.pop()
        split = "split_feature" in node
        true, false = (count, count + 1) if split else (0, 0)
        nodes.add(
            nodes_treeids=tree,
            nodes_nodeids=own,
            nodes_featureids=node["split_feature"] if split else 0,
            nodes_values=_not_above(node["threshold"]) if split else 0.0,
            nodes_modes="BRANCH_LEQ" if split else "LEAF",
            nodes_truenodeids=true,
            nodes_falsenodeids=false,
            nodes_missing_value_tracks_true=0,
            nodes_hitrates=1.0,
        )
        if split:
            count += 2
            waiting += [(node["left_child"], true), (node["right_child"], false)]
        else:
            nodes.add(
                target_treeids=tree,
                target_nodeids=own,
                target_ids=0,
                target_weights=float(node["leaf_value"]),
            )


def leaves(trees: list[Any], slope: float, offset: float) -> dict[str, Any]:
    """What `TreeReasons` reads; values are in calibrated log-odds."""
    found = [leaf for tree in trees for leaf in _walk(tree, {})]
    width = max(1, max((len(path) for _, path in found), default=1))
    rows = [[*path.items(), *[(0, _ALWAYS)] * (width - len(path))] for _, path in found]
    return {
        "base": offset,
        "value": [slope * value for value, _ in found],
        "feature": [[feature for feature, _ in row] for row in rows],
        "low": [[condition[0] for _, condition in row] for row in rows],
        "high": [[condition[1] for _, condition in row] for row in rows],
        "share": [[condition[2] for _, condition in row] for row in rows],
    }


def _walk(node: Mapping[str, Any], path: Path_) -> Iterator[tuple[float, Path_]]:
    """(value, feature -> condition) of each leaf."""
    if "split_feature" not in node:
        yield float(node["leaf_value"]), path
        return
    feature, at = node["split_feature"], _not_above(node["threshold"])
    low, high, share = path.get(feature, _ALWAYS)
    for child, bounds in (
        (node["left_child"], (low, at if high is None else min(at, high))),
        (node["right_child"], (at if low is None else max(at, low), high)),
    ):
        part = _rows(child) / max(1, _rows(node))
        yield from _walk(child, {**path, feature: (*bounds, share * part)})


def _rows(node: Mapping[str, Any]) -> int:
    return int(node.get("internal_count", node.get("leaf_count", 0)))


def _not_above(threshold: float) -> float:
    near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
