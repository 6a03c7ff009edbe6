"""Marks of a prompt injection in a text: words addressed to a model instead of to people.

What is found here is a suspicion, not a verdict: a determined writer finds other words, in other
languages, in base64 or in an image. So the mark never decides alone. It is a data tag that access policy
can act on, and one check of what a model wrote; the fence around user text and the other validators hold
without it. All patterns are bounded, so a text costs time in proportion to its length.
"""

import re
from collections.abc import Iterable

from services.privacy.normalise import normalise

TAG = "injection_suspected"
"""The data tag of a request that holds any mark."""

_WITHIN = r"[^.!?\n]{0,40}?"  # in the same sentence
_RULES = r"(?:instructions?|prompts?|rules|guidelines|directives|restrictions|guardrails|programming)"

PATTERNS = {
    "override": (
        rf"\b(?:ignore|disregard|forget|override|bypass)\b{_WITHIN}"
        rf"\b(?:previous|prior|above|earlier|preceding|system|initial|all|your|these|those)\b{_WITHIN}\b{_RULES}\b"
        rf"|\bignorier\w{{0,4}}\b{_WITHIN}\b(?:anweisung|vorgabe|regel)\w{{0,4}}"
        rf"|\bignore[rz]?\b{_WITHIN}\b(?:instructions|consignes|règles) (?:précédentes|ci-dessus)"
        rf"|\b(?:ignora|ignore|olvida)\b{_WITHIN}\b(?:instrucciones|istruzioni|instruções|reglas)\b"
    ),
    "reveal": (
        r"\b(?:reveal|show|print|repeat|output|display|tell|give|leak|what(?:'s| is| are| was| were))\b"
        rf"{_WITHIN}\b(?:your prompt"
        r"|(?:system|initial|hidden|original|secret|developer) (?:prompt|message|instructions?))\b"
    ),
    "role": (
        r"\byou are now (?:a|an|the|in|my|called|acting|playing|free|dan)\b"
        r"|\byou are no longer (?:a|an|bound|required)\b"
        r"|\bpretend (?:to be|you are|you're|that you)\b"
        r"|\bact as (?:if you|though you|an? (?:unrestricted|admin|dev))"
        r"|\b(?:developer|jailbreak|god|debug|admin|dan|sudo) mode\b|\bdo anything now\b"
        r"|\b(?:new|updated|real) instructions? ?:|\bfrom now on,? you\b"
    ),
    "template": (
        r"<\|[a-z_]{2,30}\|>|\[/?inst\]|<</?sys>>|</?(?:system|assistant|instructions?)>"
        r"|(?:^|\n)[ \t]{0,20}(?:system|assistant|developer)[ \t]{0,20}:"
        r"|(?:^|\n)[ \t]{0,20}#{2,6} ?(?:system|instructions?|response)\b|<{3}|>{3}"
    ),
    "exfiltration": r"!\[[^\]\n]{0,100}\]\([a-z]{2,10}:",
}
"""Kind of mark -> what it looks like in lower-case plain text. `template` is what no person writes."""

_PLAIN = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}
_HIDDEN = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0001\U000e0020-\U000e007e]")
"""Unicode tag characters outside a flag: text that people cannot see and models read."""


def marks(text: str) -> frozenset[str]:
    """The kinds of mark in a text, read as a model would: full width, accents and zero width undone."""
    plain = normalise(text).text.lower()
    found = {kind for kind, pattern in _PLAIN.items() if pattern.search(plain)}
    if not text.isascii() and _HIDDEN.search(text):
        found.add("hidden")
    return frozenset(found)


def tags_of_texts(texts: Iterable[str]) -> frozenset[str]:
    """`TAG` where any of a request's texts holds a mark."""
    return frozenset({TAG}) if any(marks(text) for text in texts) else frozenset()
