"""What the tests of privacy share: one detector for the session, calls to seal, and texts to try."""

from dataclasses import replace
from functools import cache

from hypothesis import strategies as st

from feature_checks.usecase import FieldSpec, UseCase
from services.privacy.detect import Detector, build_detector
from services.privacy.envelope import seal
from services.privacy.vault import Vault
from services.values import Call, Context, Envelope
from tests.fakes import HASH_KEY, call_of, support

PERSONAL = {
    "card": "4111 1111 1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "email": "ines.calder@example.com",
    "phone": "+44 7911 123456",
    "ip": "203.0.113.77",
    "national_id": "RSSMRA85T10A562S",
    "crypto": "0x52908400098527886E0F7030069857D2E4169EE7",
    "secret": "sk-proj-abcdefghijklmnopqrstuvwx",
}
"""One of each kind that needs no words around it."""


@cache
def the_detector() -> Detector:
    """Building one takes seconds."""
    return build_detector()


@cache
def two_fields() -> UseCase:
    """A use case with fields of every type that `seal` treats differently."""
    fields = {
        "text": FieldSpec(type="string", tags=("user_content",), required=False),
        "note": FieldSpec(type="string", tags=("staff_note",), required=False),
        "customer": FieldSpec(type="string", tags=("identifier",), required=False),
        "device": FieldSpec(type="integer", tags=("identifier",), required=False),
        "amount": FieldSpec(type="number", required=False),
        "urgent": FieldSpec(type="boolean", required=False),
        "at": FieldSpec(type="timestamp", required=False),
    }
    return support().model_copy(update={"input": fields})


def sealed(context: Context | None = None, tenant: str = "acme", **fields: object) -> tuple[Envelope, Vault]:
    """Seal one call of the use case above."""
    call: Call = call_of(two_fields(), tenant, **fields)
    return seal(replace(call, context=context or Context()), the_detector(), HASH_KEY)


def found(text: str) -> list[tuple[str, str]]:
    """(kind, what it covers) of everything found in a text."""
    return [(span.kind, text[span.start : span.end]) for span in the_detector().scan(text)]


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(list(PERSONAL.values())),
    st.sampled_from(
        ["<CARD_1>", "<CARD_2>", "<card_1>", "< CARD_1 >", "<EMAIL_1>", "＜CARD_1＞", "<NAME_1>", "<IBAN_1"]
    ),
    st.sampled_from(
        ["<", ">", "_1>", "<CARD_", "CARD_1", "\u200b", "\u202e", " ", "my name is Ines Calder ", "1", "\n"]
    ),
)
TEXTS = st.lists(PIECES, max_size=10).map("".join)
"""Anything at all, personal data, typed placeholders and pieces of them, in any order."""
