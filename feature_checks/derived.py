"""What the suite looks at beside the raw columns: one value a row, worked out before it runs.

Names hold `::`, so that they cannot meet a field's name. `<field>::readable` (is it of its type),
`<field>::blank`, `<field>::damaged` (wrongly encoded text), and for the whole row `::labels_of_same`,
`::also_in_test`, `::rows_of_label`, `::trained`.
"""

import re
from typing import TYPE_CHECKING, Any

from feature_checks.contracts import FeatureContract, FieldContract
from feature_checks.splits import row_keys
from feature_checks.values import READERS, none_if_null

if TYPE_CHECKING:
    import pandas as pd

Splits = dict[str, "pd.DataFrame"]

# Replacement characters, lone surrogates, non-characters and control characters (tab and line ends aside),
# then UTF-8 that was read as Windows-1252 or Latin-1: its first byte shows as one of these letters and the
# next as a character that does not follow it in any language. Typographic quotes and dashes may follow
# the letter at the end of a quoted word, so they count only when a letter comes after them.
_DAMAGED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffd-\uffff\ud800-\udfff]"
    "|Ã[\u00a0-\u00bf\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2022\u02dc\u2122\u0161"
    "\u203a\u0153\u017e\u0178]"
    "|Ã[\u2018\u2019\u201c\u201d\u2013\u2014\u2026](?=\\w)"
    "|Â[\u00a0-\u00bf]"
    "|â(?:\u20ac|\u201a\u00ac|\u201e\u00a2|\u0080|\u0082|\u0084)"
    "|ï»¿|ï¿½|ð\u0178"
)


def is_damaged(text: str) -> bool:
    """Whether text holds signs of a wrong encoding: replacement or control characters, or mojibake."""
    return _DAMAGED.search(text) is not None


def derive(contract: FeatureContract, splits: Splits) -> Splits:
    """Each split with its known columns, read as their types, and the derived ones."""
    import pandas as pd

    frames: Splits = {}
    for split, raw in splits.items():
        frame = pd.DataFrame(index=raw.index)
        for field in contract.fields:
            if field.name in raw.columns:
                _add_field(frame, field, raw[field.name].tolist())
        if contract.label in raw.columns:
            frame[contract.label] = _objects(frame, [none_if_null(v) for v in raw[contract.label].tolist()])
        frames[split] = frame
    _add_sameness(frames, contract)
    _add_label_counts(frames, contract)
    return frames


def _add_field(frame: "pd.DataFrame", field: FieldContract, values: list[Any]) -> None:
    values = [none_if_null(value, blank_is_null=field.type != "string") for value in values]
    read = [None if value is None else READERS[field.type](value) for value in values]
    frame[field.name] = _objects(frame, read)
    pairs = zip(values, read, strict=True)
    frame[f"{field.name}::readable"] = [value is None or got is not None for value, got in pairs]
    if field.type == "string":
        frame[f"{field.name}::blank"] = [isinstance(v, str) and not v.strip() for v in values]
        frame[f"{field.name}::damaged"] = [isinstance(v, str) and is_damaged(v) for v in values]


def _add_sameness(frames: Splits, contract: FeatureContract) -> None:
    import pandas as pd

    needed = {*contract.identity, contract.label}
    if not contract.identity or any(not needed <= set(frame.columns) for frame in frames.values()):
        return
    keys = {split: row_keys(frame, contract.identity) for split, frame in frames.items()}
    labelled = pd.DataFrame(
        {
            "key": pd.concat(list(keys.values()), ignore_index=True),
            "label": pd.concat([frame[contract.label] for frame in frames.values()], ignore_index=True),
        }
    )
    labels_of = labelled.groupby("key")["label"].nunique()
    in_test = set(row_keys(frames["test"], contract.identity, loose=False))
    for split, frame in frames.items():
        frame["::labels_of_same"] = keys[split].map(labels_of).astype("int64")
        for name in contract.identity:  # empty rows are refused for that, not for being alike
            frame.loc[frame[f"{name}::blank"], "::labels_of_same"] = 1
        if split != "test":
            frame["::also_in_test"] = row_keys(frame, contract.identity, loose=False).isin(in_test)


def _add_label_counts(frames: Splits, contract: FeatureContract) -> None:
    train, test = frames["train"], frames["test"]
    if contract.label in train.columns and contract.label in test.columns:
        counts = train[contract.label].value_counts()
        known = train[contract.label].isin(set(contract.labels))
        train["::rows_of_label"] = train[contract.label].map(counts).where(known).astype("Int64")
        test["::trained"] = test[contract.label].isin(set(counts.index))


def _objects(frame: "pd.DataFrame", values: list[Any]) -> "pd.Series[Any]":
    import pandas as pd

    return pd.Series(values, index=frame.index, dtype=object)
