"""A use case's fields as a frozen feature contract: what its data must look like to be fit to use."""

from dataclasses import dataclass
from typing import Literal

from feature_checks.usecase import FieldSpec, UseCase

FieldType = Literal["string", "number", "integer", "boolean", "timestamp"]


@dataclass(frozen=True, slots=True)
class FieldContract:
    """One column. Lengths count characters (Unicode code points); `minimum` and `maximum` are in the
    field's own unit; `values` is empty for a field that is not closed."""

    name: str
    type: FieldType
    required: bool
    min_length: int
    max_length: int
    minimum: float | None
    maximum: float | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeatureContract:
    """All that the data of one use case must satisfy; `version` names the use-case folder's content.

    `labels` are those that may be trained on; `identity` are the fields whose equality makes two rows
    the same message (empty for a table of numbers: two equal rows are two events).
    """

    use_case: str
    version: str
    fields: tuple[FieldContract, ...]
    label: str
    labels: tuple[str, ...]
    outside: str | None
    min_rows_per_label: int
    identity: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a table must have, and no other."""
        return (*(field.name for field in self.fields), self.label)


def feature_contract(usecase: UseCase) -> FeatureContract:
    """The contract of a use case. Pure: reads only the value lists of its folder."""
    return FeatureContract(
        use_case=usecase.name,
        version=usecase.version,
        fields=tuple(_field(name, spec, usecase) for name, spec in usecase.input.items()),
        label=usecase.label,
        labels=usecase.labels,
        outside=usecase.local.outside if usecase.local else None,
        min_rows_per_label=usecase.data.min_rows_per_label,
        identity=identity_fields(usecase),
    )


def _field(name: str, spec: FieldSpec, usecase: UseCase) -> FieldContract:
    return FieldContract(
        name=name,
        type=spec.type,
        required=spec.required,
        min_length=spec.min_length,
        max_length=spec.max_length,
        minimum=spec.minimum,
        maximum=spec.maximum,
        values=usecase.values(spec),
    )


def identity_fields(usecase: UseCase) -> tuple[str, ...]:
    """Fields whose equality makes two rows the same message: free text. Numbers never do."""
    return tuple(n for n, s in usecase.input.items() if s.type == "string" and s.values is None)
