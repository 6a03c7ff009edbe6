"""Splits one table into train and test so that it stays put: by a hash of each row, not by its place.

The same row always lands on the same side, whatever the order of the file; a row that is added moves
at most one other row of its label. Copies of a text (but for case and spaces) are never parted.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TEST_SHARE = 0.2
SPLIT_SEED = 7
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows left out of training, by their place in the file: `leaked` are (but for case and spaces)
    in the test rows as well, `repeated` earlier in the training rows."""

    leaked: tuple[int, ...]
    repeated: tuple[int, ...]


def exact_key(value: object) -> object:
    """A value as it counts when asking whether two are the same: text in Unicode NFC."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def loose_key(value: object) -> object:
    """Like `exact_key`, and blind to case, to the number of spaces and to characters that nobody sees."""
    if not isinstance(value, str):
        return value
    seen = value if value.isascii() else "".join(c for c in value if unicodedata.category(c) != "Cf")
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", seen)).strip().casefold()


def row_keys(frame: "pd.DataFrame", fields: Sequence[str], loose: bool = True) -> "pd.Series[str]":
    """One text for each row, equal where the rows are the same in `fields`."""
    import pandas as pd

    key = loose_key if loose else exact_key
    columns = [frame[name].tolist() for name in fields if name in frame.columns]
    rows = zip(*columns, strict=True) if columns else [()] * len(frame)
    texts = [json.dumps([key(v) for v in row], default=str) for row in rows]
    return pd.Series(texts, index=frame.index, dtype=object)


def split_sample(
    frame: "pd.DataFrame",
    identity: Sequence[str],
    label: str,
    outside: str | None = None,
    test_share: float = TEST_SHARE,
    seed: int = SPLIT_SEED,
) -> "tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]":
    """(train, test, outside): of each label, `test_share` of the rows go to test.

    Rows that are the same in `identity` stay together; without identity fields every row stands for
    itself. Rows labelled `outside` go to neither. A frame without its label column is all train: the
    gate will say what is wrong with it.
    """
    import pandas as pd

    if label not in frame.columns:
        return frame, frame.iloc[:0], frame.iloc[:0]
    is_outside = (frame[label] == outside) if outside else pd.Series(False, index=frame.index)
    known = frame[~is_outside]
    keys = row_keys(known, identity or [name for name in known.columns if name != label])
    if not identity:  # two equal rows are two events: one may be tested on when the other was learned from
        keys = keys + "#" + keys.groupby([keys, known[label].map(str)]).cumcount().map(str)
    ranked = pd.DataFrame({"label": known[label].map(str), "hash": _hashes(keys, seed)})
    test = ranked.groupby("label", sort=False)["hash"].transform(lambda h: _smallest(h, test_share))
    chosen = test.astype(bool)
    return known[~chosen], known[chosen], frame[is_outside]


def drop_repeats(
    train: "pd.DataFrame", test: "pd.DataFrame", identity: Sequence[str]
) -> "tuple[pd.DataFrame, Repeats]":
    """Training rows without those that repeat a test row or an earlier training row in `identity`.

    Without identity fields nothing is a repeat: two equal rows of numbers are two events.
    """
    if not identity or any(name not in train.columns or name not in test.columns for name in identity):
        return train, Repeats((), ())
    keys = row_keys(train, identity)
    leaked = keys.isin(set(row_keys(test, identity)))
    repeated = keys.duplicated() & ~leaked
    places = Repeats(_places(leaked), _places(repeated))
    return train[~(leaked | repeated)], places


def _places(mask: "pd.Series[bool]") -> tuple[int, ...]:
    return tuple(int(place) for place in mask.index[mask])


def _hashes(keys: "pd.Series[str]", seed: int) -> "pd.Series[str]":
    return keys.map(lambda key: hashlib.sha256(f"{seed}\0{key}".encode(errors="replace")).hexdigest())


def _smallest(hashes: "pd.Series[str]", share: float) -> "pd.Series[bool]":
    """True for the rows with the smallest hashes, `share` of them; equal hashes stay together."""
    size = round(share * len(hashes))
    border = sorted(hashes)[size - 1] if size else ""
    return hashes <= border
