"""What the detector can find, and the data tags that each find puts on the envelope.

Every find of kind `card` tags the request `pii` and `pii_card`, and stands in the redacted text as
`<CARD_1>`. Credentials are no personal data, but must not travel either: kind `secret` tags the
request `secret` alone. `docs/privacy.md` lists the vocabulary for people who write access policies.
"""

import re
from dataclasses import dataclass

BUILT_IN = (
    "account",
    "birth_date",
    "card",
    "crypto",
    "email",
    "iban",
    "ip",
    "name",
    "national_id",
    "phone",
    "secret",
)

SECRET = "secret"  # noqa: S105  — the name of a kind, not a credential

UNNAMED = "entity"
"""What a NER hook finds under a name that no placeholder could carry."""

KIND_SHAPE = re.compile(r"[a-z]+(?:_[a-z]+)*")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`text[start:end]` is of `kind`; `score` in 0..1 is how sure its recogniser is."""

    start: int
    end: int
    kind: str
    score: float


def tags_of(kind: str) -> frozenset[str]:
    """The data tags that one find of `kind` puts on a request."""
    return frozenset({SECRET}) if kind == SECRET else frozenset({"pii", f"pii_{kind}"})


def detected_tags(kinds: tuple[str, ...] = BUILT_IN) -> frozenset[str]:
    """Every tag that detection of these kinds can give."""
    return frozenset().union(*(tags_of(kind) for kind in kinds))
