"""A model's schema (MLflow's word): what it reads and what a consumer gets, and what may change in it.

A consumer reads outputs and sends inputs. So between the version that serves and the next one, no output
field or label may disappear or change its type, and nothing that was accepted may be refused.
"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.errors import PackageInvalid

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class FieldSchema(BaseModel):
    """One field. Lengths count characters; `values` is empty where the field is open."""

    model_config = _STRICT

    type: str
    required: bool = True
    min_length: int = 0
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = Field(default=(), strict=False)


class ModelSchema(BaseModel):
    """`inputs` and `outputs` are the use case's, `labels` those that the model can say, as strings; beside
    the label it says a confidence from 0 to 1."""

    model_config = _STRICT

    inputs: Mapping[str, FieldSchema]
    outputs: Mapping[str, FieldSchema]
    labels: tuple[str, ...] = Field(min_length=1, strict=False)


def parse_schema(raw: object, shown: str) -> ModelSchema:
    """A schema from parsed JSON. Raises `PackageInvalid`."""
    try:
        return ModelSchema.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise PackageInvalid(f"{shown}: model schema: {where}: not as expected; train it again") from None


def broken_promises(serving: ModelSchema, new: ModelSchema) -> tuple[str, ...]:
    """What a consumer of `serving` would miss in `new`; empty when they may follow each other. Pure."""
    return (*_lost_outputs(serving, new), *_narrowed_inputs(serving, new))


def _lost_outputs(serving: ModelSchema, new: ModelSchema) -> Iterator[str]:
    for label in sorted(set(serving.labels) - set(new.labels)):
        yield f"label '{label}' is gone"
    for name, before in serving.outputs.items():
        after = new.outputs.get(name)
        if after is None:
            yield f"output '{name}' is gone"
        elif after.type != before.type:
            yield f"output '{name}' was {before.type} and is {after.type}"
        elif before.required and not after.required:
            yield f"output '{name}' was always there and may be missing"


def _narrowed_inputs(serving: ModelSchema, new: ModelSchema) -> Iterator[str]:
    for name, now in new.inputs.items():
        if name not in serving.inputs and now.required:
            yield f"input '{name}' is new and required"
    for name, before in serving.inputs.items():
        after = new.inputs.get(name)
        if after is None:
            yield f"input '{name}' is gone"
        elif after.type != before.type:
            yield f"input '{name}' was {before.type} and is {after.type}"
        else:
            yield from (f"input '{name}': {said}" for said in _narrower(before, after))


def _narrower(before: FieldSchema, after: FieldSchema) -> Iterator[str]:
    lows = (("min_length", before.min_length, after.min_length), ("minimum", before.minimum, after.minimum))
    highs = (("max_length", before.max_length, after.max_length), ("maximum", before.maximum, after.maximum))
    if after.required and not before.required:
        yield "it is now required"
    for bound, was, now in lows:
        if now is not None and (was is None or now > was):
            yield f"{bound} rose from {was} to {now}"
    for bound, was, now in highs:
        if now is not None and (was is None or now < was):
            yield f"{bound} fell from {was} to {now}"
    if after.values and (lost := sorted(set(before.values) - set(after.values))):
        yield f"value '{lost[0]}' is gone"
    elif after.values and not before.values:
        yield "its values are now a closed list"
