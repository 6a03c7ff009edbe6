"""From the journal to decisions and what people said of them, for one use case."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feature_checks.usecase import UseCase
from flows.curation_rules import Decided, Key, Said
from flows.journal_lines import read_lines


def read_said(folder: Path) -> tuple[dict[Key, list[Said]], int]:
    """What was said, by tenant and decision id in the order of time, and how many lines were unusable."""
    found: dict[Key, list[Said]] = {}
    broken = 0
    for line in read_lines(folder, "feedback"):
        if line is None or line.content is None:
            broken += line is None
            continue
        verdict, source = line.content.get("verdict") or {}, line.content.get("source")
        if not source:
            continue  # nobody who could be asked, or whose influence could be bounded
        label = verdict.get("label")
        said = Said(
            str(source),
            line.at,
            label if isinstance(label, str) else None,
            line.content.get("settles") is True,
        )
        found.setdefault((str(line.content["tenant"]), str(line.content["id"])), []).append(said)
    for words in found.values():
        words.sort(key=lambda word: word.at)  # workers write side by side
    return found, broken


def read_decided(
    folder: Path, usecase: UseCase, said: Mapping[Key, Sequence[Said]]
) -> tuple[list[Decided], dict[str, int]]:
    """The decisions of a use case that people or a cloud model labelled, and what was counted beside them.

    The rest, most of the journal, is only counted: `only the model itself said so`.
    """
    found: list[Decided] = []
    counts = {"emptied_by_retention": 0, "unusable_lines": 0, "unlabelled": 0}
    for line in read_lines(folder, "decision"):
        if line is None:
            counts["unusable_lines"] += 1
        elif line.content is None:
            counts["emptied_by_retention"] += 1
        elif line.content.get("use_case") == usecase.name:
            route = str(line.content.get("route") or "none")
            key = (str(line.content["tenant"]), str(line.content["id"]))
            if key not in said and not route.startswith("cloud/"):
                counts["unlabelled"] += 1
                continue
            found.append(_decided(line.at, line.content, route, usecase.label))
    return found, counts


def _decided(at: str, content: Mapping[str, Any], route: str, label: str) -> Decided:
    request, answered = content["request"], (content.get("output") or {}).get(label)
    return Decided(
        id=str(content["id"]),
        tenant=str(content["tenant"]),
        at=at,
        fields=dict(request["fields"]),
        tags=frozenset(map(str, request.get("tags", ()))),
        purpose=str(request.get("purpose", "")),
        route=route,
        answered=answered if isinstance(answered, str) else None,
    )
