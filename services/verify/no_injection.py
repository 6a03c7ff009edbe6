"""Signs that a model followed foreign words: its prompt told, a link nobody approved, marks passed on.

A link is how an answer takes data out (an image that a client loads) or a customer to the wrong place.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from feature_checks.verification import NoInjection
from services.injection import marks
from services.privacy.normalise import normalise
from services.targets.prompt import load_prompt
from services.values import Envelope
from services.verify.base import Prefix, Validator, VerifyContext

_LINK = re.compile(
    r"(?:[a-z][a-z0-9+.-]{1,20}://|www\.|(?:javascript|data|mailto|tel):)[^\s<>\"')\]]{1,2000}"
    r"|(?<![\w@.-])(?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,24}/[^\s<>\"')\]]{0,2000}"
)
_WORD = re.compile(r"\w+")


def make(context: VerifyContext) -> Validator:
    options = context.options(NoInjection)
    prompt = load_prompt(context.usecase).system if context.usecase.cloud else ""
    run = options.max_prompt_words + 1
    approved_links = _links((*context.approved, prompt))
    secret = set(_runs(prompt, run)).difference(*(_runs(text, run) for text in context.approved))

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        texts = [value for value in output.values() if isinstance(value, str)]
        if found := frozenset().union(*(marks(text) for text in texts)):
            return f"holds what only an instruction to a model would: {', '.join(sorted(found))}"
        if secret and any(not secret.isdisjoint(_runs(text, run)) for text in texts):
            return f"repeats more than {options.max_prompt_words} words in a row of its instructions"
        if options.links == "approved" and (unknown := _links(texts) - approved_links):
            return f"holds {len(unknown)} links that nobody approved"
        return None

    # What stands before a mark, a link or the last of too many words is what this lets pass anyway.
    return Validator("no_injection", check, prefix=lambda _: Prefix(check))


def _runs(text: str, length: int) -> Iterator[tuple[str, ...]]:
    """Every `length` words in a row, in plain lower case."""
    words = _WORD.findall(normalise(text).text.casefold())
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))


def _links(texts: Iterable[str]) -> frozenset[str]:
    found = (match[0] for text in texts for match in _LINK.finditer(normalise(text).text.lower()))
    return frozenset(link.rstrip(".,;:!?/") for link in found)
