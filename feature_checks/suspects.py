"""What a check of labels found: a row to look at before anything is learned from it, and why."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Suspect:
    """Row number, the check that found it, and the reason in words; never what stands in the row."""

    row: int
    check: str
    why: str


def first_of_each(found: Iterable[Suspect]) -> dict[int, list[Suspect]]:
    """By row, in the order of the checks."""
    rows: dict[int, list[Suspect]] = {}
    for one in found:
        rows.setdefault(one.row, []).append(one)
    return rows
