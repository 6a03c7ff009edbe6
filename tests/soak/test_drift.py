"""Drift on real messages: new intents are found, and usual windows are not taken for drift."""

import random
from pathlib import Path

import numpy as np
import pytest

from feature_checks.datasets import default_cache_dir, load_labelled
from feature_checks.drift import Feature, Texts, drift_verdict
from feature_checks.usecase import load_usecase
from tests.fakes import REPOSITORY


@pytest.mark.soak
def test_banking77_ten_new_intents_are_found_and_a_hundred_usual_windows_are_not() -> None:
    """Within 300 of their messages, alone or half of the traffic; at most one false alarm in 100 of 500."""
    import wordllama

    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    usecase = load_usecase("support", REPOSITORY / "usecases")
    frame = load_labelled(usecase, "full", default_cache_dir()).train
    draw = random.Random(1)
    rows = list(zip(frame["text"].astype(str), frame[usecase.label].astype(str), strict=True))
    draw.shuffle(rows)
    embedded = np.asarray(model.embed([text for text, _ in rows]), float)
    gone = set(sorted({label for _, label in rows})[::7][:10])
    usual = [i for i, (_, label) in enumerate(rows) if label not in gone]
    new = [i for i, (_, label) in enumerate(rows) if label in gone]

    def window(numbers: list[int]) -> dict[str, Feature]:
        return {"text": Texts([rows[i][0] for i in numbers], embedded[numbers])}

    reference = window(usual[:4000])
    alarms = sum(drift_verdict(reference, window(draw.sample(usual[4000:], 500))).drifted for _ in range(100))
    assert alarms <= 1
    assert drift_verdict(reference, window(draw.sample(new, 300))).drifted
    assert drift_verdict(reference, window(draw.sample(new, 300) + draw.sample(usual[4000:], 300))).drifted
