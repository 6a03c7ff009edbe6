"""The base of everything that a team writes in YAML: frozen, strict types, no unknown keys."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of every part: frozen, strict types, no unknown keys, no values echoed in errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )
