"""Which field of an answer is the one that a person reads."""

from feature_checks.usecase import UseCase


def reply_field(usecase: UseCase) -> str:
    """The first text field of the output that is not the label, else the label."""
    texts = [name for name, spec in usecase.output.items() if spec.type == "string" and name != usecase.label]
    return texts[0] if texts else usecase.label
