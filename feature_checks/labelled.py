"""Labelled rows of a use case, in the parts that training, checks and replays need."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Rows of a use case: its input fields and its label, indexed by their place in the file.

    `outside` holds rows that no label fits: never trained on; any local answer to one is wrong. `history`
    holds events that are neither learned from nor tested on, and shape the features of those that are.
    """

    train: "pd.DataFrame"
    test: "pd.DataFrame"
    outside: "pd.DataFrame"
    history: "pd.DataFrame | None" = None
