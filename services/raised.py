"""Thresholds above the calibrated ones, as this worker knows them: replaced whole by whoever follows them."""

from collections.abc import Callable, Mapping

Raised = Mapping[tuple[str, str], float]
"""(use case, digest of its local model) -> the least confidence it answers with."""

Above = Callable[[str], float]
"""Digest of a model -> the least confidence it answers with, 0 where nothing was raised."""


def never_raised(digest: str) -> float:
    return 0.0


class RaisedThresholds:
    """One for each worker."""

    def __init__(self) -> None:
        self.current: Raised = {}

    def of(self, usecase: str) -> Above:
        """Follows what is current."""
        return lambda digest: self.current.get((usecase, digest), 0.0)
