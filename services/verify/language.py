"""Is the answer in a language that the use case allows, or in that of the request?

py3langid tells languages apart (docs/guides/verification.md has its numbers); its model is in the package.
A text that is too short, or a guess that is not sure enough, refuses nothing: this check finds an answer
that is plainly in the wrong language, no more.
"""

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from feature_checks.verification import LanguageOptions
from services.errors import ConfigError
from services.privacy.placeholders import PLACEHOLDER
from services.values import Envelope
from services.verify.base import Validator, VerifyContext

Guess = Callable[[str], str | None]
"""A text -> its language as an ISO 639-1 code, or None when nobody can be sure."""

_NO_WORDS = re.compile(rf"{PLACEHOLDER.pattern}|\S*(?://|@)\S*|\d+")


def make(context: VerifyContext) -> Validator:
    options = context.options(LanguageOptions)
    usecase = context.usecase
    guess = _guess(f"{usecase.name}/usecase.yaml", options)
    written = tuple(n for n, spec in usecase.output.items() if spec.type == "string" and not spec.values)

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        answer = guess("\n".join(str(output[name]) for name in written if name in output))
        if answer is None or answer in options.allowed:
            return None
        if options.same_as is None:
            return f"reads as language '{answer}', and only {', '.join(options.allowed)} are allowed"
        request = guess(str(envelope.fields.get(options.same_as, "")))
        if request is None or request == answer:
            return None
        return f"reads as language '{answer}', and the request as '{request}'"

    return Validator("language", check)


def _guess(shown: str, options: LanguageOptions) -> Guess:
    identifier = _restricted(shown, options)

    def guess(text: str) -> str | None:
        words = _NO_WORDS.sub(" ", text)
        if sum(map(str.isalpha, words)) < options.min_characters:
            return None
        language, probability = identifier.classify(words)
        return str(language) if probability >= options.confidence else None

    return guess


def _restricted(shown: str, options: LanguageOptions) -> Any:
    whole = _identifier()
    known = set(whole.labels)
    _must_be_known(shown, (*options.allowed, *options.among), known)
    if not options.among:
        return whole
    part = copy.copy(whole)  # shares the large tables
    part.set_languages(list(options.among))
    return part


def _must_be_known(shown: str, named: Iterable[str], known: set[str]) -> None:
    if unknown := sorted(set(named) - known):
        raise ConfigError(
            f"{shown}: verify: language: '{unknown[0]}' cannot be told; known: {', '.join(sorted(known))}"
        )


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # 0.8 s and 120 MB, for those who want it

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
