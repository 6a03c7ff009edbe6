"""A use case's `rules.json` or `merge.json`: a GoRules decision graph, checked once at start.

The engine itself takes a broken cell for one that does not match, without a word. So every expression
is compiled here, and every regular expression tried, before a graph may serve.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import zen

from feature_checks.usecase import FieldSpec, UseCase
from services.errors import ConfigError

FILE = "rules.json"
_KEY = "rules"
_INLINE = ("inputNode", "outputNode", "decisionTableNode", "expressionNode", "switchNode")
"""Node types that take microseconds. Functions (JavaScript), custom nodes and other files are not let
in: rules run inside the request, before anything else."""
_REGEX = re.compile(r"""\b(?:matches|extract)\([^'"]*?,\s*("[^"]*"|'[^']*')\s*\)""")
_NONE: Mapping[str, float] = {}
_NOTHING: Mapping[str, object] = {}
_SAMPLES: Mapping[str, object] = {
    "string": "", "number": 0.0, "integer": 0, "boolean": False, "timestamp": "2026-01-01T00:00:00Z",
}  # fmt: skip


class RuleGraph:
    """A checked graph. `evaluate` takes a context and gives the graph's output, {} where nothing matched."""

    def __init__(self, graph: dict[str, Any]) -> None:
        # The engine with a static loader answers in 20 µs; a decision object takes 170 µs for the same.
        loader: Any = {"type": "static", "content": {_KEY: graph}}
        self._engine = zen.ZenEngine({"loader": loader})

    def evaluate(
        self,
        fields: Mapping[str, object],
        tags: list[str],
        features: Mapping[str, float] = _NONE,
        beside: Mapping[str, object] = _NOTHING,
    ) -> Any:
        """The graph's output. It sees `fields`, `tags`, `features`, and what is `beside` them by its name."""
        seen = {"fields": dict(fields), "tags": tags, "features": dict(features), **beside}
        return self._engine.evaluate(_KEY, seen)["result"]


def load_rules(usecase: UseCase, file: str = FILE) -> RuleGraph:
    """Read and check a graph. Raises `ConfigError` that names the file, the node and the cell."""
    shown = f"{usecase.name}/{file}"
    try:
        raw = json.loads(usecase.path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{shown}: cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("nodes"), list):
        raise ConfigError(f"{shown}: expected a decision graph with nodes and edges, as its editor saves it")
    try:
        for node in raw["nodes"]:
            _check_node(shown, node)
        graph = RuleGraph(raw)
        graph.evaluate(_sample(usecase.input), [])
    except ConfigError:
        raise
    except Exception as error:  # the engine raises bare Exception, with a dump behind the first line
        raise ConfigError(f"{shown}: is refused by the rules engine: {_first_line(error)}") from error
    return graph


def _check_node(shown: str, node: Mapping[str, Any]) -> None:
    where = f"{shown}: node '{node.get('name', node.get('id'))}'"
    if node.get("type") not in _INLINE:
        raise ConfigError(f"{where}: type {node.get('type')} is not allowed; allowed: {', '.join(_INLINE)}")
    for place, text, compile_ in _expressions(node):
        try:
            compile_(text)
            for pattern in _REGEX.findall(text):
                zen.evaluate_expression(f"matches('', {pattern})", {})
        except Exception as error:  # see load_rules
            raise ConfigError(f"{where}, {place}: {_first_line(error)}") from error


def _expressions(node: Mapping[str, Any]) -> Iterator[tuple[str, str, Callable[[str], object]]]:
    """(where, text, how to compile it) of every expression in a node."""
    content = node.get("content") or {}
    if node["type"] == "expressionNode":
        for item in content["expressions"]:
            yield f"expression '{item['key']}'", item["value"], zen.compile_expression
    elif node["type"] == "switchNode":
        for number, item in enumerate(content["statements"], 1):
            if item.get("condition"):
                yield f"condition {number}", item["condition"], zen.compile_expression
    elif node["type"] == "decisionTableNode":
        columns = [*content["inputs"], *content["outputs"]]
        unary = {column["id"] for column in content["inputs"] if column.get("field")}
        for column in content["inputs"]:
            if column.get("field"):
                yield f"column '{column['name']}'", column["field"], zen.compile_expression
        for number, row in enumerate(content["rules"], 1):
            for column in columns:
                cell = str(row.get(column["id"]) or "").strip()
                if cell not in ("", "-"):
                    is_unary = column["id"] in unary
                    compile_ = zen.compile_unary_expression if is_unary else zen.compile_expression
                    yield f"row {number}, column '{column['name']}'", cell, compile_


def _sample(fields: Mapping[str, FieldSpec]) -> Mapping[str, object]:
    return {name: _SAMPLES[spec.type] for name, spec in fields.items()}


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    try:
        return str(json.loads(text)["source"])
    except (ValueError, KeyError, TypeError):
        return f"key {text} is missing" if isinstance(error, KeyError) else text[:200]
