"""Errors of this room, for people who own a use case or its data.

FeatureCheckError
├── UseCaseError      a use-case folder is wrong: file, key, expected, got
├── DatasetError      a data file cannot be had, or is not the file that was named
├── DriftInputError   reference and window cannot be compared
└── CheckFailed       the data was read, and is not fit to use (gate.py)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_checks.report import CheckReport


class FeatureCheckError(Exception):
    """Base of every error that this room raises on purpose."""


class UseCaseError(FeatureCheckError):
    """A use-case folder is wrong; the message names file, key, what was expected and what was found."""


class DatasetError(FeatureCheckError):
    """A data file is missing, unreachable, or its bytes are not those that the use case names."""


class DriftInputError(FeatureCheckError):
    """Reference and window cannot be compared; the message names the feature, never a value."""


class CheckFailed(FeatureCheckError):
    """Data is not fit to use; `report` lists what failed, on which rows, against which bound."""

    def __init__(self, message: str, report: "CheckReport") -> None:
        super().__init__(message)
        self.report = report
