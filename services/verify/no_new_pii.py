"""No personal data in an answer that the request did not hold: a model must not invent or recall any."""

from collections.abc import Mapping

from services.privacy.leaks import new_personal_data
from services.values import Envelope
from services.verify.base import Prefix, Validator, VerifyContext


def make(context: VerifyContext) -> Validator:
    detector, known = context.detector, context.approved

    def check(output: Mapping[str, object], envelope: Envelope) -> str | None:
        if kinds := new_personal_data(output, envelope, detector, known):
            return f"holds personal data that the request did not: {', '.join(kinds)}"
        return None

    def prefix(field: str) -> Prefix | None:
        return None if detector.ahead is None else Prefix(check, detector.ahead)

    return Validator("no_new_pii", check, prefix=prefix)
