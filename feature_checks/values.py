"""Reads single values as the type that a contract names: a CSV file holds text only.

A reader returns None for what is not of its type. Pure.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from feature_checks.contracts import FeatureContract

if TYPE_CHECKING:
    import pandas as pd

_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def typed_columns(frame: "pd.DataFrame", contract: FeatureContract) -> "pd.DataFrame":
    """The contract's columns, in its order, each of its type; for data that passed the gate."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for field in contract.fields:
        if (typed := _typed_already(frame[field.name], field.type)) is not None:
            columns[field.name] = typed
            continue
        values = [
            none_if_null(value, blank_is_null=field.type != "string") for value in frame[field.name].tolist()
        ]
        read = [None if value is None else READERS[field.type](value) for value in values]
        columns[field.name] = pd.Series(read, index=frame.index, dtype=_DTYPES[field.type])
    columns[contract.label] = pd.Series(frame[contract.label].map(str), index=frame.index, dtype="str")
    return pd.DataFrame(columns, index=frame.index)


def _typed_already(column: "pd.Series[Any]", kind: str) -> "pd.Series[Any] | None":
    """A column whose file typed it as the contract does, without a look at each value; else None."""
    import pandas as pd
    from pandas.api import types

    if kind == "timestamp" and types.is_datetime64_any_dtype(column):
        utc = column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
        moments: pd.Series[Any] = utc.astype("datetime64[us, UTC]")
        return moments
    whole = types.is_integer_dtype(column)
    if (kind == "integer" and whole) or (kind == "number" and (whole or types.is_float_dtype(column))):
        return column.astype(_DTYPES[kind])
    return None


def none_if_null(value: Any, blank_is_null: bool = False) -> Any:
    """None for what stands for a missing value, with `blank_is_null` an empty text too."""
    import pandas as pd

    # NaN and infinity are values that a column of numbers must not hold, not missing ones.
    if value is None or value is pd.NA or value is pd.NaT or (blank_is_null and value == ""):
        return None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _boolean(value: Any) -> bool | None:
    said = str(value).strip().lower()
    return True if said in _TRUE else False if said in _FALSE else None


def _timestamp(value: Any) -> Any:
    """A moment; one without a zone is taken for UTC."""
    import pandas as pd

    if isinstance(value, (bool, int, float)):
        return None  # a bare number does not say its unit
    try:
        moment = pd.Timestamp(value)
    except (TypeError, ValueError):
        return None
    if pd.isna(moment):
        return None
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "timestamp": _timestamp,
}

_DTYPES: Mapping[str, Any] = {
    "string": "str",
    "number": "float64",
    "integer": "Int64",
    "boolean": "boolean",
    "timestamp": "datetime64[us, UTC]",
}
