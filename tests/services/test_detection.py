"""What a deployment adds to detection: its own recognisers and a NER model, named by settings."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.bootstrap import Edges, bootstrap
from services.detection import detector_of, kinds_of
from services.errors import ConfigError
from services.policy import AccessPolicy
from services.preflight import main as preflight
from services.privacy.detect import Detector
from services.privacy.ner import THREADS, BoundedNer, load_ner
from services.settings import load_settings
from tests.fakes import REPOSITORY
from tests.served import all_bytes, served
from tests.services.policy_help import usecase_with

RECOGNISERS = """
recognizers:
  - name: Customer number
    supported_entity: CUSTOMER_NUMBER
    patterns: [{name: full, regex: 'CU-[0-9]{6}', score: 0.9}]
"""
MODEL = """
from services.privacy.kinds import Span

class Places:
    kinds = ("place",)
    def __call__(self, text):
        if "explode" in text:
            raise RuntimeError(text)
        at = text.find("Wolverhampton")
        return [Span(at, at + 13, "place", 0.9)] if at >= 0 else []

build = Places
nothing = object
class Loud(Places):
    kinds = ("Place!",)
def broken():
    raise OSError("no weights")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A team's own package with a model, as if it were installed."""
    (tmp_path / "acme_ner.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "acme_ner"
    sys.modules.pop("acme_ner", None)


@pytest.fixture
def recognisers(tmp_path: Path) -> Path:
    file = tmp_path / "recognisers.yaml"
    file.write_text(RECOGNISERS, encoding="utf-8")
    return file


async def test_a_custom_kind_is_redacted_on_the_whole_way_and_comes_back(
    home: Path, recognisers: Path
) -> None:
    """From the setting to prompt, journal and answer."""
    async with served(home, confidence=0.1, recognisers=recognisers) as app:
        answer = await app.decide("My number is CU-123456, why?")
    assert answer.status_code == 200
    assert "<CUSTOMER_NUMBER_1>" in app.chat.prompts[0][1]
    assert b"CU-123456" not in all_bytes(home)


def test_policies_may_ask_for_custom_tags_and_for_no_others(
    home: Path, tmp_path: Path, recognisers: Path, package: str
) -> None:
    """What detection may find is what a policy may mention; without the setting it is a slip of the pen."""
    custom = '["pii_customer_number", "pii_place"]'
    policy = f"permit (principal, action, resource) unless {{ context.tags.containsAny({custom}) }};"
    usecase = usecase_with(tmp_path, policy)
    settings = load_settings(home=home, recognisers=recognisers, ner=f"{package}:build")
    detector = detector_of(settings)
    assert set(detector.kinds) == set(kinds_of(settings))
    AccessPolicy.load(usecase, tags=detector.tags)
    with pytest.raises(ConfigError, match="pii_customer_number"):
        AccessPolicy.load(usecase)


def test_bootstrap_tells_policies_the_tags_of_its_detector(home: Path, tmp_path: Path) -> None:
    """A use case whose policy mentions a custom tag is served where the tag exists, else refused."""
    folder = tmp_path / "usecases"
    usecase_with(folder, 'forbid (principal, action, resource) when { context.tags.contains("pii_place") };')
    settings = load_settings(home=home, usecases_dir=folder)
    bootstrap(settings, Edges(detector=Detector((), (), (), (), (), kinds=("place",)), endpoints={}))
    with pytest.raises(ConfigError, match="pii_place"):
        bootstrap(settings, Edges(detector=Detector((), (), (), (), ()), endpoints={}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("recognizers: []", "recognisers.yaml: recognizers"),
        (RECOGNISERS + "    colour: red\n", r"recognisers.yaml: recognizers\.0\.colour"),
        (RECOGNISERS.replace("[0-9]{6}", "("), "recognisers.yaml: Customer number: pattern 'full'"),
        ("{", "recognisers.yaml: expected a YAML file"),
    ],
)
def test_a_broken_file_of_recognisers_stops_the_start_with_file_and_key(
    home: Path,
    recognisers: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    told: str,
) -> None:
    """Before any worker runs, in one message."""
    recognisers.write_text(text, encoding="utf-8")
    monkeypatch.setenv("SWITCHYARD_RECOGNISERS", str(recognisers))
    monkeypatch.setenv("SWITCHYARD_USECASES", str(REPOSITORY / "usecases"))
    monkeypatch.setattr("services.preflight.fetch_models", lambda _: None)
    assert preflight() == 1
    assert told.replace("\\", "") in capsys.readouterr().err


def test_a_model_that_a_team_installed_finds_what_patterns_cannot(package: str) -> None:
    detector = detector_of(load_settings(ner=f"{package}:build"))
    (span,) = detector.scan("I live in Wolverhampton.")
    assert span.kind == "place"
    (whole,) = detector.scan("please explode")
    assert (whole.start, whole.end) == (0, 14)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("acme_ner:broken", "OSError"),
        ("acme_ner:missing", "AttributeError"),
        ("acme_none:build", "ModuleNotFoundError"),
        ("acme_ner:nothing", "kinds"),
        ("acme_ner:Loud", "lower-case"),
    ],
)
def test_a_model_that_cannot_be_had_is_refused_at_start(package: str, named: str, told: str) -> None:
    """By the setting's name, and what is wrong."""
    with pytest.raises(ConfigError, match=rf"SWITCHYARD_NER.*{told}"):
        load_ner(named, 1)


def test_a_model_that_hangs_lets_nothing_through_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Its text counts as found as a whole; while its threads hang, later ones are not even asked."""
    release = threading.Event()

    def hang(text: str) -> list[object]:
        release.wait(20)
        return []

    ner = BoundedNer(hang, ("place",), timeout_s=0.02)  # type: ignore[arg-type]  # a test double
    detector = Detector((), (), (), (), (), ner=ner)
    try:
        for _ in range(THREADS + 3):
            (span,) = detector.scan("some words")
            assert (span.start, span.end, span.kind) == (0, 10, "entity")
    finally:
        release.set()
    assert "some words" not in caplog.text


@pytest.mark.parametrize("answer", [None, 7, ["x"], [(0, 3)], "abc", range(20_000)])
def test_an_answer_that_makes_no_sense_lets_nothing_through(answer: object) -> None:
    detector = Detector((), (), (), (), (), ner=BoundedNer(lambda _: answer, ("place",), 1))  # type: ignore[arg-type, return-value]  # on purpose
    (span,) = detector.scan("some words")
    assert (span.start, span.end) == (0, 10)
