"""What `verify:` of usecase.yaml may ask for: each validator by its name, with its options, read strictly.

    verify: [output_schema, no_new_pii, {length: {fields: {reply: {max_words: 80}}}}]

The validators themselves are in `services/verify/`; a test keeps the names the same on both sides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from feature_checks.strict_model import Strict
from feature_checks.strict_yaml import explain

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class NoOptions(Strict):
    """A validator that needs none."""


class FieldLength(Strict):
    """Bounds of one text field. Characters are Unicode code points; words are what space separates."""

    min_characters: int = Field(default=0, ge=0)
    max_characters: int | None = Field(default=None, ge=1)
    max_words: int | None = Field(default=None, ge=1)


class Length(Strict):
    """Bounds for what a model writes, tighter than those of the output contract."""

    fields: Mapping[str, FieldLength] = Field(min_length=1)


class ClosedSet(Strict):
    """Where the allowed values of one field come from: exactly one of the three."""

    values: tuple[str, ...] = Field(default=(), strict=False)
    file: str | None = None  # a file in the folder: one allowed value a line
    from_input: tuple[str, ...] = Field(default=(), strict=False)  # input fields that must hold the value

    @model_validator(mode="after")
    def _one_source(self) -> "ClosedSet":
        if sum(map(bool, (self.values, self.file, self.from_input))) != 1:
            raise ValueError("expected exactly one of values, file, from_input")
        return self


class AllowedValues(Strict):
    fields: Mapping[str, ClosedSet] = Field(min_length=1)


class AllowedAmounts(Strict):
    facts: tuple[str, ...] = Field(default=(), strict=False)  # files whose numbers count as given


class LanguageOptions(Strict):
    """`allowed`: ISO 639-1 codes, or `same_as`: the input field whose language the answer must have."""

    allowed: tuple[Language, ...] = Field(default=(), strict=False)
    same_as: str | None = None
    among: tuple[Language, ...] = Field(default=(), strict=False)  # the languages that can occur at all
    min_characters: int = Field(default=30, ge=1)  # shorter texts tell too little
    confidence: float = Field(default=0.9, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _one_source(self) -> "LanguageOptions":
        if bool(self.allowed) == (self.same_as is not None):
            raise ValueError("expected exactly one of allowed, same_as")
        if self.among and not set(self.allowed) <= set(self.among):
            raise ValueError("among: must hold every allowed language")
        return self


class NoInjection(Strict):
    """`max_prompt_words`: an answer may repeat at most that many words in a row of the system prompt."""

    links: Literal["approved", "any"] = "approved"
    max_prompt_words: int = Field(default=8, ge=4)


OPTIONS: Mapping[str, type[Strict]] = {
    "output_schema": NoOptions,
    "length": Length,
    "allowed_values": AllowedValues,
    "no_new_pii": NoOptions,
    "allowed_amounts": AllowedAmounts,
    "language": LanguageOptions,
    "no_injection": NoInjection,
}
"""Name of a validator -> the options that it takes."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One validator that a use case asks for."""

    name: str
    options: Strict = field(default_factory=NoOptions)


def read_verification(entry: Any) -> Verification:
    """A name, or `{name: {options}}`. Raises `ValueError` that names the key and what is allowed."""
    if isinstance(entry, Verification):
        return entry
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("expected the name of a validator, or one name with its options")
    ((name, given),) = entry.items()
    if name not in OPTIONS:
        raise ValueError(f"{name}: no such validator; allowed: {', '.join(OPTIONS)}")
    if not isinstance(given, dict):
        raise ValueError(f"{name}: expected its options as a mapping, got {type(given).__name__}")
    try:
        return Verification(name, OPTIONS[name](**given))
    except ValidationError as error:
        raise ValueError(f"{name}: {explain(error, OPTIONS[name])}") from None
    except TypeError:  # keys that are no text
        raise ValueError(f"{name}: expected option names that are text") from None


def misfits(verifications: tuple[Verification, ...], inputs: set[str], texts: set[str]) -> Iterator[str]:
    """What does not fit the use case: its input fields, and its output fields that hold text."""
    names = [one.name for one in verifications]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: is asked for twice"
    for one in verifications:
        options = one.options
        if isinstance(options, Length):
            yield from _unknown(f"{one.name}: fields", options.fields, texts, "output fields of text")
        elif isinstance(options, AllowedValues):
            yield from _unknown(f"{one.name}: fields", options.fields, texts, "output fields of text")
            for field_name, closed in options.fields.items():
                where = f"{one.name}: fields.{field_name}.from_input"
                yield from _unknown(where, closed.from_input, inputs, "input fields")
        elif isinstance(options, LanguageOptions) and options.same_as is not None:
            yield from _unknown(f"{one.name}: same_as", (options.same_as,), inputs, "input fields")


def files(verifications: tuple[Verification, ...]) -> Iterator[tuple[str, str]]:
    """(key, file in the folder) of every file that options name."""
    for one in verifications:
        options = one.options
        if isinstance(options, AllowedAmounts):
            for number, file in enumerate(options.facts):
                yield f"verify: {one.name}: facts.{number}", file
        elif isinstance(options, AllowedValues):
            for field_name, closed in options.fields.items():
                if closed.file is not None:
                    yield f"verify: {one.name}: fields.{field_name}.file", closed.file


def _unknown(where: str, named: Any, known: set[str], what: str) -> Iterator[str]:
    for name in named:
        if name not in known:
            yield f"{where}: '{name}' is none of the {what}: {', '.join(sorted(known)) or 'none'}"
