"""Which rows of a large table the gate looks at one by one: all but those that plainly are as they should be.

Columns that a file types itself are screened as a whole: present, finite, within bounds, a known label. What
does not pass is looked at, and so are rare labels and an even share of the rest. Text never passes unseen.
"""

from typing import TYPE_CHECKING, Any

from feature_checks.contracts import FeatureContract, FieldContract

if TYPE_CHECKING:
    import pandas as pd

LARGE = 20_000  # rows; below, every one is looked at
_RARE = 1_000  # rows of a label


def rows_to_check(frame: "pd.DataFrame", contract: FeatureContract) -> "pd.DataFrame":
    """The rows of `frame` that are to be looked at, in their order; all of them where it is not large."""
    import numpy as np

    if len(frame) <= LARGE or set(contract.columns) - set(frame.columns):
        return frame
    good = np.ones(len(frame), bool)
    for field in contract.fields:
        good &= _good(frame[field.name], field)
    counts = frame[contract.label].value_counts()
    common = [label for label in contract.labels if counts.get(label, 0) > _RARE]
    good &= frame[contract.label].isin(common).to_numpy()
    good[:: max(1, len(frame) // LARGE)] = False
    return frame[~good]


def _good(column: "pd.Series[Any]", field: FieldContract) -> Any:
    """(n,) rows whose value is plainly what the field asks for."""
    import numpy as np
    from pandas.api import types

    nothing = np.zeros(len(column), bool)
    if not field.required and bool(column.isna().all()):
        return ~nothing
    if field.type == "timestamp":
        return column.notna().to_numpy() if types.is_datetime64_any_dtype(column) else nothing
    numeric = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    if field.type not in ("number", "integer") or field.values or not numeric:
        return nothing
    values = column.to_numpy(dtype="float64", na_value=np.nan)
    good = np.isfinite(values)
    if field.type == "integer":
        good &= values == np.floor(values)
    if field.minimum is not None:
        good &= values >= field.minimum
    if field.maximum is not None:
        good &= values <= field.maximum
    if not field.required and types.is_extension_array_dtype(column):
        good |= column.isna().to_numpy()  # a type that tells a missing value from NaN
    return good
