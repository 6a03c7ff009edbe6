"""A loaded model for tests that look at what it is, and never ask it."""

from typing import Any

from registry.loading import LoadedModel
from registry.records import Acceptance, ModelRef
from tests.registry.conftest import NAME


def loaded_model(key_id: str, digest: str = "d" * 64) -> LoadedModel:
    nothing: Any = None
    acceptance = Acceptance(threshold=0.8, max_error=0.02, confidence=0.95, method="none")
    ref = ModelRef(NAME, 1, digest)
    return LoadedModel(ref, nothing, acceptance, ("a",), ("text",), "constant", key_id, "v")
