"""Credentials: they identify nobody, and must not travel either.

Keys and tokens by their well-known shapes, passwords in addresses, and what a text says is a
password, PIN or one-time code.
"""

import re
from collections.abc import Iterator, Sequence

from services.privacy.kinds import SECRET, Span
from services.privacy.reading import Reading, phrases

_KEY = "PRIVATE KEY-----"
_QUERY_KEYS = "(?:access_|refresh_|id_)?token|api_?key|key|secret|password|passwd|pwd|sig|signature|code|auth"
_SHAPES = tuple(
    (sign, re.compile(shape))
    for sign, shape in (
        # what must occur in the text, and the shape; a group named `it` narrows what is taken
        ("-----BEGIN", rf"-----BEGIN [A-Z ]{{0,40}}{_KEY}(?:[^-]{{0,8000}}-----END [A-Z ]{{0,40}}{_KEY})?"),
        ("k-", r"\b[sr]k-[A-Za-z0-9_\-]{16,256}"),
        ("k_", r"\b[sr]k_[A-Za-z0-9_\-]{16,256}"),
        ("_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
        ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
        ("glpat-", r"\bglpat-[A-Za-z0-9_\-]{20,64}"),
        ("AKIA", r"\bAKIA[0-9A-Z]{16}\b"),
        ("ASIA", r"\bASIA[0-9A-Z]{16}\b"),
        ("AIza", r"\bAIza[0-9A-Za-z_\-]{35}"),
        ("xox", r"\bxox[abprs]-[A-Za-z0-9\-]{10,200}"),
        ("eyJ", r"\beyJ[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{0,1000}"),
        ("://", r"://(?P<it>[^\s/:@]{1,128}:[^\s/@]{1,128})@"),
        ("=", rf"(?i)[?&#;](?:{_QUERY_KEYS})=(?P<it>[^&\s#]{{6,2000}})"),
    )
)
_BEARER = re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<it>[A-Za-z0-9._~+/\-]{16,2000}=*)")
_IS = r"is|was|ist|est|es|é|è|jest|är|to|it's"
_PASSWORD_WORDS = phrases(
    "passw, pwd, passphrase, passcode, mot de passe, contraseña, senha, wachtwoord, hasło, lösenord, kennwort"
)
_PASSWORD = re.compile(
    r"(?i)\b(?:pass(?:word|wort|code|phrase|wd)|pwd|mot de passe|contraseña|senha|wachtwoord|hasło|lösenord"
    rf"|kennwort)(?P<link>\s{{0,2}}[:=]\s{{0,2}}|\s{{1,2}}(?:{_IS})\s{{1,2}}[:\"']?)[\"'`]?(?P<it>[^\s\"'`]{{4,128}})"
)
_CODE_WORDS = phrases("pin, cvv, cvc, cv2, code, otp, tan, código, codice, kod")
_CODE = re.compile(
    r"(?i)\b(?:pin|cvv2?|cvc2?|cv2|otp|m?tan|pass ?code"
    r"|(?:security|verification|one[- ]time|sms|access|secret|auth(?:entication)?|activation|unlock)"
    r"[ -](?:pass)?code"
    r"|code (?:secret|de sécurité)|código (?:de seguridad|secreto)|codice (?:di sicurezza|segreto)|kod pin)"
    rf"(?: ?(?:code|number|nummer|no\.?|#))?\W{{0,3}}(?:{_IS})?\W{{0,3}}"
    r"(?P<it>[0-9](?:[ -]?[0-9]){2,7})(?![0-9])"
)
_HAS_SIGN = re.compile(r"[^A-Za-z.,;!?]")


class Secrets:
    def find(self, reading: Reading, found: Sequence[Span]) -> Iterator[Span]:
        del found
        text, lower = reading.text, reading.lower
        for sign, shape in _SHAPES:
            if sign in text:
                yield from _all(shape, text)
        if "bearer " in lower or "basic " in lower:
            yield from _all(_BEARER, text)
        if any(word in lower for word in _PASSWORD_WORDS):
            for match in _PASSWORD.finditer(text):
                said = match["link"].strip() in (":", "=")
                if said or _HAS_SIGN.search(match["it"].rstrip(".,;!?")):
                    yield Span(match.start("it"), match.end("it"), SECRET, 0.9)
        if reading.groups and any(word in lower for word in _CODE_WORDS):
            yield from _all(_CODE, text)


def _all(shape: re.Pattern[str], text: str) -> Iterator[Span]:
    for match in shape.finditer(text):
        start, end = match.span("it") if "it" in shape.groupindex else match.span()
        yield Span(start, end, SECRET, 0.99)
