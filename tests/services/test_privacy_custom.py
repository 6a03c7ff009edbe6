"""Recognisers that a team writes in YAML: used when right, refused with place and reason when wrong."""

from functools import cache
from pathlib import Path

import pytest

from services.errors import ConfigError
from services.privacy.detect import Detector, build_detector
from services.privacy.reading import Reading
from services.privacy.recognisers import custom

GOOD = r"""
recognizers:
  - name: Customer number
    supported_entity: CUSTOMER_NUMBER
    supported_language: en
    patterns:
      - {name: full, regex: '\bCU-[0-9]{6}\b', score: 0.9}
      - {name: bare, regex: '\b[0-9]{6}\b', score: 0.2}
    context: [customer, client no]
  - name: Code names
    supported_entity: PROJECT
    deny_list: [Blue Heron, Heron]
"""


X = "recognizers:\n - {name: x, supported_entity: AB, "


def written(folder: Path, text: str) -> Path:
    file = folder / "recognisers.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return build_detector(written(tmp_path_factory.mktemp("custom"), GOOD))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it is CU-123456.", [("customer_number", "CU-123456")]),
        ("my customer number: 123456", [("customer_number", "123456")]),
        ("it was 123456 days", []),
        ("ask about blue heron, not herons", [("project", "blue heron")]),
        (
            "card 4111111111111111 of CU-123456",
            [("card", "4111111111111111"), ("customer_number", "CU-123456")],
        ),
    ],
)
def test_patterns_context_and_lists_are_used(
    detector: Detector, text: str, expected: list[tuple[str, str]]
) -> None:
    assert [(span.kind, text[span.start : span.end]) for span in detector.scan(text)] == expected


def test_custom_kinds_belong_to_the_vocabulary_of_tags(detector: Detector) -> None:
    assert {"pii_customer_number", "pii_project", "pii_card"} <= detector.tags


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("recognizers: []", r"recognisers.yaml: recognizers: .*at least 1 item"),
        ("other: 1", r"other: Extra inputs are not permitted|recognizers: Field required"),
        (
            "recognizers:\n - {name: x, supported_entity: lower, deny_list: [a]}",
            r"supported_entity: .*pattern",
        ),
        ("recognizers:\n - {name: x, supported_entity: A1, deny_list: [a]}", r"supported_entity: .*pattern"),
        ("recognizers:\n - {name: x, supported_entity: AB}", r"x: expected 'patterns' or a 'deny_list'"),
        (
            X + "deny_list: [a], fuzzy: 1}",
            r"fuzzy: Extra inputs",
        ),
        (
            X + "patterns: [{name: p, regex: '(', score: 1}]}",
            r"pattern 'p' is no regular expression",
        ),
        (
            X + "patterns: [{name: p, regex: 'a*', score: 1}]}",
            r"pattern 'p' matches an empty text",
        ),
        (
            X + "patterns: [{name: p, regex: 'a', score: 0.1}]}",
            r"pattern 'p' scores 0.1 < 0.5: it needs context words",
        ),
        (
            X + "patterns: [{name: p, regex: '(a+)+$', score: 1}]}",
            r"pattern 'p' takes over 0.02 s on 'aaaa…'",
        ),
        ("recognizers: [", r"expected a YAML file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        custom.load(written(tmp_path, text))
    assert caught.value.message.startswith("recognisers.yaml: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a YAML file .* FileNotFoundError"):
        custom.load(tmp_path / "none.yaml")


@cache
def slow_pattern() -> custom.CustomPattern:
    """One that would have been refused at load, as if the hostile texts there had missed it."""
    import regex

    return custom.CustomPattern("customer", regex.compile(r"(x+)+$"), 0.9, None)


def test_a_pattern_that_takes_too_long_on_a_text_counts_as_found_and_never_as_absent() -> None:
    text = "x" * 4000 + "!"
    spans = list(slow_pattern().find(Reading(text), []))
    assert [(span.kind, span.start, span.end) for span in spans] == [("customer", 0, len(text))]
