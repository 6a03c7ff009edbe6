"""Starting: what is refused with one message, what is merely left out, and models that change meanwhile."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import ModelNotFound, PackageRefused
from services.bootstrap import Edges, bootstrap
from services.catalogue import load_usecases
from services.errors import ConfigError
from services.hash_key import load_hash_key
from services.model_shelf import ModelShelf
from services.settings import load_settings
from tests.fakes import REPOSITORY, FakePolicy, FakePredictor, support
from tests.served import FakePlaced, served


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped use case, where a test may break it."""
    folder = tmp_path / "usecases"
    shutil.copytree(REPOSITORY / "usecases" / "support", folder / "support")
    return folder


async def until(true: Callable[[], bool]) -> None:
    """Waits for what another task brings about."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  — nothing announces it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        (
            "usecase.yaml",
            "label: intent",
            "label: intent\ncolour: red",
            "key 'colour' is not known; allowed: ",
        ),
        ("usecase.yaml", "label: intent", "label: nothing", "label: 'nothing' is not an output field"),
        ("usecase.yaml", "plan: [", "plan: [magic, ", "plan"),
        ("usecase.yaml", "plan: [", "plan: [[", "is not YAML"),
        ("policy.cedar", "\npermit", "\npermitt", "policy.cedar"),
        ("rules.json", "{", "", "rules.json"),
        ("templates/replies.yaml", ":", ": [", "templates/replies.yaml"),
    ],
)
def test_a_broken_use_case_is_refused_with_file_and_key(
    home: Path, copied: Path, file: str, old: str, new: str, named: str
) -> None:
    """At start, before anything is served."""
    path = copied / "support" / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match="support/") as error:
        bootstrap(load_settings(usecases_dir=copied))
    assert named in str(error.value)


def test_a_folder_without_use_cases_says_how_to_get_one(home: Path, tmp_path: Path) -> None:
    """The setting and the command are in the message."""
    with pytest.raises(ConfigError, match="SWITCHYARD_USECASES"):
        load_usecases(load_settings(usecases_dir=tmp_path))


def test_without_model_and_endpoint_the_plan_still_answers_and_readiness_says_what_is_missing(
    home: Path,
) -> None:
    """Nothing is connected to at start; what is missing comes with the way to get it."""
    runtime = bootstrap(load_settings(usecases_dir=REPOSITORY / "usecases"))
    state = runtime.readiness()
    assert state.ready
    missing = state.use_cases["support"]["missing"]
    assert "switchyard train" in missing["local"]
    assert "SWITCHYARD_ENDPOINTS" in missing["cloud/primary"]


async def test_a_missing_model_degrades_the_answer_with_its_reason(home: Path) -> None:
    """The request goes on down the plan."""
    async with served(home) as app:
        app.placed.error = ModelNotFound("no copy is placed; run `switchyard train`")
        edges = Edges(placed=app.placed, endpoints={"primary": app.chat}, policy=lambda _: FakePolicy())
        async with bootstrap(app.runtime.settings, edges) as other:
            usecase = other.pipeline.use_cases["support"]
            assert usecase.missing == {"local": "no copy is placed; run `switchyard train`"}
            assert "local" not in usecase.targets


async def test_a_newly_placed_model_is_taken_up_while_running(home: Path) -> None:
    """A use case that had none gets one; a newer one replaces it between two requests."""
    usecase = support()
    placed = FakePlaced(FakePredictor(usecase.labels, usecase.labels[0]), error=ModelNotFound("none yet"))
    settings = load_settings(usecases_dir=REPOSITORY / "usecases", model_poll_s=0.01)
    async with bootstrap(settings, Edges(placed=placed, policy=lambda _: FakePolicy())) as runtime:
        assert "local" in runtime.pipeline.use_cases["support"].missing
        placed.error = None
        await until(lambda: "local" not in runtime.pipeline.use_cases["support"].missing)
        assert runtime.readiness().use_cases["support"]["model"] == "1" * 64
        placed.version = 2
        await until(lambda: runtime.readiness().use_cases["support"]["model"] == "2" * 64)


def test_a_copy_that_is_refused_leaves_what_served_before() -> None:
    """A changed byte in a new copy never takes the old model away; the problem is told."""
    usecase = support()
    placed = FakePlaced(FakePredictor(usecase.labels, usecase.labels[0]))
    shelf = ModelShelf(["support-intent"], placed)
    assert shelf.refresh()
    placed.version = 2
    placed.error = PackageRefused("support-intent", "model.onnx", "abc", "def")
    assert not shelf.refresh()
    model = shelf.get("support-intent")
    assert model is not None
    assert model.loaded.ref.version == 1
    assert "model.onnx" in shelf.problems["support-intent"]
    placed.error = None
    shelf.refresh()
    assert (model.loaded.ref.version, shelf.problems) == (2, {})


def test_the_hash_key_is_made_once_and_guarded(tmp_path: Path) -> None:
    """The same for every worker; short or readable by others, it is refused."""
    key = load_hash_key(tmp_path)
    assert len(key) == 32
    assert load_hash_key(tmp_path) == key
    (tmp_path / "hash.key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_hash_key(tmp_path)
    (tmp_path / "hash.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="expected 32 bytes, got 5"):
        load_hash_key(tmp_path)


def test_a_wrong_setting_is_named_and_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings hold secrets; their errors hold names only."""
    monkeypatch.setenv("SWITCHYARD_WORKERS", "PLANTED")
    monkeypatch.setenv("SWITCHYARD_ENDPOINTS", '{"a": {"base_url": "ftp://PLANTED", "api_key": "PLANTED"}}')
    with pytest.raises(ConfigError, match=r"SWITCHYARD_ENDPOINTS\.a\.base_url.*SWITCHYARD_WORKERS") as error:
        load_settings()
    assert "PLANTED" not in str(error.value)
    monkeypatch.delenv("SWITCHYARD_WORKERS")
    monkeypatch.setenv("SWITCHYARD_ENDPOINTS", '{"PLANTED')
    with pytest.raises(ConfigError, match="expected JSON") as broken:
        load_settings()
    assert "PLANTED" not in str(broken.value)
    url = "https://user:PLANTED@cloud.example/v1"
    monkeypatch.setenv(
        "SWITCHYARD_ENDPOINTS", f'{{"a": {{"base_url": "{url}", "api_key": "PLANTED", "model": "m"}}}}'
    )
    assert "PLANTED" not in repr(load_settings())
