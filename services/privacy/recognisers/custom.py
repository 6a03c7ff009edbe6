"""Recognisers that a team writes in YAML, in presidio's own format, read strictly.

A pattern below `SURE` counts only with one of its context words near it. A pattern that needs too long
on a hostile text is refused at load; one that still does so later counts as found, never as absent.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.errors import ConfigError
from services.privacy.kinds import Span
from services.privacy.reading import Reading, Words

SURE = 0.5
TIMEOUT_S = 0.02
_HOSTILE = tuple(piece * 2000 + "!" for piece in ("a", "1", "A1", "1 ", "a ", "a@", "1-", "aA."))

logger = logging.getLogger(__name__)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class PatternSpec(_Strict):
    name: str
    regex: str = Field(min_length=1, max_length=2000)
    score: float = Field(gt=0, le=1, strict=False)


class RecogniserSpec(_Strict):
    """One entry of `recognizers:`. `supported_entity` names the kind, as in CUSTOMER_NUMBER."""

    name: str
    supported_entity: Annotated[str, Field(pattern=r"^[A-Z]+(_[A-Z]+)*$", max_length=40)]
    supported_language: str | None = None
    patterns: tuple[PatternSpec, ...] = Field(default=(), strict=False)
    deny_list: tuple[str, ...] = Field(default=(), strict=False)
    context: tuple[str, ...] = Field(default=(), strict=False)


class RecogniserFile(_Strict):
    recognizers: tuple[RecogniserSpec, ...] = Field(min_length=1, strict=False)


@dataclass(frozen=True)
class CustomPattern:
    """One pattern, on the whole text."""

    kind: str
    pattern: Any  # a compiled `regex` pattern: that module ships no types
    score: float
    words: Words | None

    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        try:
            for match in self.pattern.finditer(reading.text, timeout=TIMEOUT_S):
                start, end = match.span()
                near = self.words is not None and reading.near(self.words, start, end)
                if start < end and (near or self.score >= SURE):
                    yield Span(start, end, self.kind, max(self.score, SURE))
        except TimeoutError:
            logger.error("custom recogniser %s took too long; the whole text counts as found", self.kind)
            yield Span(0, len(reading.text), self.kind, SURE)


def load(file: Path) -> list[CustomPattern]:
    """Read and check a YAML file of recognisers. Raises `ConfigError` naming file, entry and reason."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
        spec = RecogniserFile.model_validate(raw)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = type(error).__name__
        raise ConfigError(f"{file.name}: expected a YAML file of recognisers, got {why}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{file.name}: {where or 'file'}: {first['msg']}") from None
    return [pattern for entry in spec.recognizers for pattern in _patterns(entry, file.name)]


def _patterns(entry: RecogniserSpec, file: str) -> Iterator[CustomPattern]:
    import regex  # type: ignore[import-untyped]  # it ships no types

    if not entry.patterns and not entry.deny_list:
        raise ConfigError(f"{file}: {entry.name}: expected 'patterns' or a 'deny_list'")
    kind = entry.supported_entity.lower()
    words = Words(",".join(word.lower() for word in entry.context)) if entry.context else None
    written = [(pattern.name, pattern.regex, pattern.score) for pattern in entry.patterns]
    if entry.deny_list:
        listed = "|".join(regex.escape(word) for word in sorted(entry.deny_list, key=len, reverse=True))
        written.append(("deny_list", rf"(?<!\w)(?:{listed})(?!\w)", 1.0))
    for name, text, score in written:
        where = f"{file}: {entry.name}: pattern '{name}'"
        try:
            compiled = regex.compile(text, regex.DOTALL | regex.MULTILINE | regex.IGNORECASE)
        except regex.error as error:
            raise ConfigError(f"{where} is no regular expression: {error}") from error
        if compiled.fullmatch(""):
            raise ConfigError(f"{where} matches an empty text")
        if score < SURE and words is None:
            raise ConfigError(f"{where} scores {score} < {SURE}: it needs context words")
        if slow := _too_slow(compiled):
            raise ConfigError(f"{where} takes over {TIMEOUT_S} s on '{slow}': simplify it")
        yield CustomPattern(kind, compiled, score, words)


def _too_slow(compiled: Any) -> str | None:
    for text in _HOSTILE:
        try:
            for _ in compiled.finditer(text, timeout=TIMEOUT_S):
                pass
        except TimeoutError:
            return f"{text[:4]}…"
    return None
