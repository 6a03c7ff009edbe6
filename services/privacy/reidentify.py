"""The way back: placeholders become originals again, in the final reply to the same caller alone.

A placeholder that the vault does not hold stays as it is: one that a model made up, or that a user
typed. Substitution happens once, so an original that looks like a placeholder is left alone too.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from services.privacy.placeholders import PLACEHOLDER
from services.privacy.vault import Vault
from services.values import Envelope


def reidentify(value: Any, vault: Vault, envelope: Envelope | None = None) -> Any:
    """`value` (JSON-like) with originals in its strings; keys and other types stay as they are.

    With `envelope` given, a vault of any other request is refused with `VaultSealed`.
    """
    originals = vault._unseal(envelope.id if envelope else None)
    return _walk(value, _substitution(originals)) if originals else value


class StreamReidentifier:
    """Re-identifies a text that arrives in chunks: the pieces put out, joined, are what
    `reidentify` would have made of the whole, wherever the chunk borders fall.

    Only a tail that may still become one of the vault's placeholders is held back. With
    `in_json=True` the text is JSON in the making, and originals are escaped as JSON strings are.
    """

    def __init__(self, vault: Vault, envelope: Envelope | None = None, *, in_json: bool = False) -> None:
        originals = vault._unseal(envelope.id if envelope else None)
        if in_json:
            originals = {mark: json.dumps(text, ensure_ascii=False)[1:-1] for mark, text in originals.items()}
        self._substitute = _substitution(originals)
        self._beginnings = {mark[:n] for mark in originals for n in range(1, len(mark))}
        self._held = ""

    def __repr__(self) -> str:
        return "<StreamReidentifier, sealed>"

    def feed(self, chunk: str) -> str:
        """What can be put out now, after this chunk."""
        text = self._held + chunk
        cut = text.rfind("<")
        if cut < 0 or text[cut:] not in self._beginnings:
            cut = len(text)
        self._held = text[cut:]
        return self._substitute(text[:cut])

    def finish(self) -> str:
        """The held tail, once no more chunks come. It is no complete placeholder, so it is text."""
        rest, self._held = self._held, ""
        return rest


def _substitution(originals: Mapping[str, str]) -> Callable[[str], str]:
    def substitute(text: str) -> str:
        if not originals or "<" not in text:
            return text
        return PLACEHOLDER.sub(lambda mark: originals.get(mark[0], mark[0]), text)

    return substitute


def _walk(value: Any, substitute: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return substitute(value)
    if isinstance(value, Mapping):
        return {key: _walk(item, substitute) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, substitute) for item in value]
    if isinstance(value, tuple):
        return tuple(_walk(item, substitute) for item in value)
    return value
