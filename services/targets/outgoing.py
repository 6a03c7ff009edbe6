"""What of a request a prompt may hold: redacted fields with pseudonyms, and what we know of it, in words."""

from collections.abc import Mapping

from feature_checks.usecase import UseCase
from services.values import Envelope

FACTS, LEANING = "facts", "leaning"


def own_slots(usecase: UseCase) -> tuple[str, ...]:
    """Slots of a prompt that name no input field: `facts`, the features in the use case's sentences, and
    `leaning`, what the local model would have said. An input field of that name comes first."""
    found = (FACTS,) if usecase.features else ()
    found = (*found, LEANING) if usecase.local else found
    return tuple(name for name in found if name not in usecase.input)


def outgoing(envelope: Envelope, usecase: UseCase) -> Mapping[str, object]:
    """Slot -> value. Of no field that is joined on (`identifier`, `pseudonym`) more than a pseudonym."""
    found: dict[str, object] = {**envelope.fields, **envelope.aliases}
    for name in own_slots(usecase):
        found[name] = _facts(envelope, usecase) if name == FACTS else _leaning(envelope)
    return found


def _facts(envelope: Envelope, usecase: UseCase) -> str:
    if usecase.features is None or envelope.features is None:
        return "- none: nothing is known of what came before it"
    told = [
        f"- {spec.says.format(value=envelope.features[name])}"
        for name, spec in usecase.features.columns.items()
        if spec.says is not None
    ]
    return "\n".join(told)


def _leaning(envelope: Envelope) -> str:
    said = envelope.leaning
    if said is None:
        return "it said nothing of this one"
    because = f", since {said.because}" if said.because else ""
    asked_for = f"where {said.threshold:.2f} is asked for"
    return f"{said.label} with probability {said.confidence:.2f}, {asked_for}{because}"
