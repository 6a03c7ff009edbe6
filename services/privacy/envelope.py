"""Sealing: one call in, one redacted envelope and its vault out. Nothing after this sees the call.

Strings are scanned and redacted. A field tagged `identifier` becomes a keyed hash, whatever its type:
it can be joined, not read. One tagged `pseudonym` stays as it is on our own machines, where rules name it;
both go out to cloud models as another keyed hash, so that nobody joins what they keep with what we keep.
Other numbers, booleans and timestamps pass as they are, and a number that
holds a card or a national id is refused. Subject and session become keyed hashes; residency and purpose
are words of a closed list. Refuses with `InputError` what could slip through: a type that the use case
does not name, or text that is not valid Unicode.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from feature_checks.usecase import FieldSpec
from services.errors import InputError
from services.injection import tags_of_texts
from services.privacy.detect import Detector
from services.privacy.everywhere import find_all
from services.privacy.hashing import content_digest, keyed_hash
from services.privacy.kinds import Span, tags_of
from services.privacy.normalise import normalise
from services.privacy.placeholders import Numbering
from services.privacy.vault import Vault
from services.privacy.vocabulary import Vocabulary
from services.values import Call, Envelope

IDENTIFIER = "identifier"
"""The field tag of what is only ever joined on: customer, card or device numbers."""
PSEUDONYM = "pseudonym"
"""The field tag of what rules name on our machines and nobody else may see: terminals, branches, shops."""

_LEAST_THAT_IDENTIFIES = 10**10  # shorter ones have weak checks, and amounts and counts are many


def seal(
    call: Call,
    detector: Detector,
    hash_key: bytes,
    vocabulary: Vocabulary = Vocabulary(),  # noqa: B008  — frozen
) -> tuple[Envelope, Vault]:
    """Redact a call. `hash_key` is the deployment's own secret (32 bytes or more)."""
    if len(hash_key) < 32:
        raise ValueError(f"hash_key: expected at least 32 bytes, got {len(hash_key)}")
    specs = call.usecase.input
    tenant = call.caller.tenant
    for name, value in call.fields.items():
        _check(name, value, specs)
    texts = {
        name: value
        for name, value in call.fields.items()
        if isinstance(value, str) and _is_text(value, specs[name])
    }
    found = find_all(texts, detector)
    numbering = Numbering(form for text in texts.values() for form in (text, normalise(text).text))
    tags = {tag for name, value in call.fields.items() if value is not None for tag in specs[name].tags}
    tags.update(*(tags_of(span.kind) for spans in found.values() for span in spans))
    tags |= tags_of_texts(texts.values())
    fields: dict[str, object] = {}
    for name, value in call.fields.items():
        if name in texts:
            fields[name] = _replace(texts[name], found[name], numbering)
        elif IDENTIFIER in specs[name].tags and value is not None:
            fields[name] = keyed_hash(hash_key, "id", tenant, value)
        else:
            _check_number(name, value, detector)
            fields[name] = value
    originals = numbering.originals()
    context = call.context
    envelope = Envelope(
        id=call.id,
        use_case=call.usecase.name,
        tenant=tenant,
        fields=fields,
        tags=frozenset(tags),
        digest=content_digest(call.usecase.name, fields),
        subject=None if context.subject is None else keyed_hash(hash_key, "sub", tenant, context.subject),
        session=None if context.session is None else keyed_hash(hash_key, "ses", tenant, context.session),
        residency=vocabulary.residency(context.residency),
        purpose=vocabulary.purpose(context.purpose),
        max_cost_usd=context.max_cost_usd,
        placeholders=frozenset(originals),
        aliases={
            name: keyed_hash(hash_key, "out", tenant, json.dumps([name, str(value)]))
            for name, value in call.fields.items()
            if value is not None and {IDENTIFIER, PSEUDONYM} & set(specs[name].tags)
        },
    )
    return envelope, Vault(call.id, originals)


def redact_text(text: str, detector: Detector) -> str:
    """`text` with placeholders for whatever is found, and no way back: for notes, feedback, documents."""
    spans = find_all({"text": text}, detector)["text"]
    return _replace(text, spans, Numbering((text, normalise(text).text)))


def _replace(text: str, spans: list[Span], numbering: Numbering) -> str:
    pieces: list[str] = []
    done = 0
    for span in spans:
        pieces += text[done : span.start], numbering.placeholder(span.kind, text[span.start : span.end])
        done = span.end
    return "".join(pieces) + text[done:]


def _check(name: str, value: object, specs: Mapping[str, FieldSpec]) -> None:
    where = f"input.{name}" if name in specs else "input"
    if name not in specs:
        raise InputError(where, f"a field that the use case does not have; its fields: {', '.join(specs)}")
    if value is not None and not isinstance(value, str | int | float | bool):
        raise InputError(where, f"expected {specs[name].type}, got {type(value).__name__}")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(where, "is not valid Unicode: it holds half of a surrogate pair") from None


def _check_number(name: str, value: object, detector: Detector) -> None:
    """A number cannot carry a placeholder, so one that is a card or a national id is refused."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) < _LEAST_THAT_IDENTIFIES:
        return
    if {"card", "national_id"} & {span.kind for span in detector.scan(f"{value:.0f}")}:
        raise InputError(
            f"input.{name}",
            f"input.{name}: holds what may be a card number or a national id; if the field is meant to, "
            f"tag it '{IDENTIFIER}' in usecase.yaml: then it is kept as a keyed hash",
        )


def _is_text(value: str, spec: FieldSpec) -> bool:
    return IDENTIFIER not in spec.tags and (spec.type != "timestamp" or not _is_timestamp(value))


def _is_timestamp(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
