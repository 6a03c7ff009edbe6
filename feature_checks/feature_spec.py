"""What `features:` of usecase.yaml may say: numbers worked out from an event and from those before it.

One declaration, computed by one module (`feature_engine.py`) for training and for serving.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from feature_checks.strict_model import Strict

FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Kind = Literal["value", "hour", "weekend", "night", "count", "mean", "risk", "positives", "gap", "ratio"]
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "value": ("of",),
    "hour": (),
    "weekend": (),
    "night": ("hours",),
    "count": ("key", "days"),
    "mean": ("key", "of", "days"),
    "risk": ("key", "days"),
    "positives": ("key", "days"),
    "gap": ("key",),
    "ratio": ("of", "to"),
}
_MAY = frozenset({"delayed", "absent", "says"})


class Feature(Strict):
    """One number. Windows are (t - days, t], the event itself included; with `delayed`, and always for `risk`
    (share of positive labels) and `positives` (their number), (t - delay - days, t - delay], since younger
    labels are not known yet.

    `value` is the field `of`, or `absent` without it; `hour`, `weekend` and `night` (`hours`: before which
    hour) read the event's time in UTC; `gap` is the time since the key's event before, in days, at most 30;
    `ratio` is feature `of` by `to`.
    `says` tells people what it means; `{value}` stands for the number.
    """

    kind: Kind
    of: str | None = None
    to: str | None = None
    key: str | None = None
    days: float | None = Field(default=None, gt=0, le=366)
    hours: int | None = Field(default=None, ge=1, le=23)
    delayed: bool = False
    absent: float = -1.0
    says: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Feature":
        needed = _NEEDS[self.kind]
        if lacking := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"kind '{self.kind}' needs {', '.join(lacking)}")
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        if extra := given - {*needed, "kind"} - _MAY:
            raise ValueError(f"kind '{self.kind}' has no {', '.join(sorted(extra))}")
        if self.delayed and self.kind not in ("count", "mean"):
            raise ValueError(f"kind '{self.kind}' cannot be delayed")
        if self.says is not None:
            try:
                self.says.format(value=1.0)
            except (KeyError, IndexError, ValueError):
                raise ValueError("says: expected text in which only {value} stands in braces") from None
        return self


class FeatureSpec(Strict):
    """The features of a use case, in the order in which its model sees them.

    `time` and `id` name input fields: when an event happened, and what makes two of them the same one.
    `positive` is the label that `risk` counts; it is known `delay_days` after its event. An event that lies
    more than `max_ahead_s` in the future, or `max_late_days` in the past, is not counted.
    """

    time: str
    id: str
    positive: str
    delay_days: float = Field(default=7, ge=0, le=90)
    max_ahead_s: float = Field(default=300, ge=0)
    max_late_days: float = Field(default=2, gt=0)
    columns: Mapping[FeatureName, Feature] = Field(min_length=1)

    @model_validator(mode="after")
    def _ratios_come_later(self) -> "FeatureSpec":
        before: set[str] = set()
        for name, feature in self.columns.items():
            if feature.kind == "ratio" and (lacking := {feature.of, feature.to} - before):
                unknown = ", ".join(sorted(map(str, lacking)))
                raise ValueError(f"columns.{name}: names no feature before it: {unknown}")
            before.add(name)
        return self

    def misfit(self, inputs: Mapping[str, str]) -> str | None:
        """What does not fit the use case's input fields (name -> type), or None."""
        if inputs.get(self.time) != "timestamp":
            return f"time: '{self.time}' is no input of type timestamp"
        if self.id not in inputs:
            return f"id: '{self.id}' is no input field"
        for name, feature in self.columns.items():
            if feature.key is not None and feature.key not in inputs:
                return f"columns.{name}: key '{feature.key}' is no input field"
            numeric = inputs.get(feature.of or "") in ("number", "integer", "boolean")
            if feature.kind in ("value", "mean") and not numeric:
                return f"columns.{name}: '{feature.of}' is no input field that is a number"
            if name in inputs:
                return f"columns.{name}: an input field has this name; give the feature another one"
        return None

    @property
    def key_fields(self) -> tuple[str, ...]:
        """Fields by which history is kept, in order of first use."""
        return tuple(dict.fromkeys(f.key for f in self.columns.values() if f.key is not None))

    @property
    def horizon_s(self) -> float:
        """How far back any window reaches, in seconds."""
        days = [
            (f.days or 30.0) + (self.delay_days if f.delayed or f.kind in ("risk", "positives") else 0.0)
            for f in self.columns.values()
            if f.key is not None
        ]
        return max(days, default=0.0) * 86_400.0
