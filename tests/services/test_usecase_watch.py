"""Folders that change while they are served: what is taken up, what is refused, what is left alone."""

import shutil
from pathlib import Path

import pytest

from services.errors import ConfigError
from services.usecase_watch import UseCaseWatch


def write(folder: Path, name: str, text: str, file: str = "usecase.yaml") -> Path:
    path = folder / name / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def build(folder: Path, name: str) -> str:
    text = (folder / name / "usecase.yaml").read_text()
    if "broken" in text:
        raise ConfigError(f"{name}/usecase.yaml: broken")
    return text


@pytest.fixture
def watch(tmp_path: Path) -> UseCaseWatch[str]:
    write(tmp_path, "claims", "one")
    return UseCaseWatch(tmp_path, lambda name: build(tmp_path, name))


def looks(watch: UseCaseWatch[str], times: int = 2) -> bool:
    saw = [watch.look() for _ in range(times)]
    return True in saw


def test_nothing_happens_while_nothing_changes(watch: UseCaseWatch[str]) -> None:
    before = watch.current
    assert not looks(watch, 3)
    assert watch.current is before


def test_a_change_is_taken_up_once_it_has_held_still(watch: UseCaseWatch[str], tmp_path: Path) -> None:
    """Between two looks an editor may have written one file of two."""
    write(tmp_path, "claims", "half")
    assert not watch.look()
    write(tmp_path, "claims", "whole")
    assert not watch.look()
    assert watch.current == {"claims": "one"}
    assert watch.look()
    assert watch.current == {"claims": "whole"}


def test_any_file_beside_usecase_yaml_counts_and_data_does_not(
    watch: UseCaseWatch[str], tmp_path: Path
) -> None:
    write(tmp_path, "claims", "x,y", "data/rows.csv")
    assert not looks(watch)
    write(tmp_path, "claims", "Answer kindly.", "prompts/reply.md")
    assert looks(watch)


def test_an_invalid_change_is_refused_once_and_the_old_stays_until_it_is_mended(
    watch: UseCaseWatch[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "claims", "broken")
    assert not looks(watch, 4)
    assert watch.current == {"claims": "one"}
    assert watch.refused == {"claims": "claims/usecase.yaml: broken"}
    assert caplog.text.count("was refused") == 1
    write(tmp_path, "claims", "mended")
    assert looks(watch)
    assert (watch.current, watch.refused) == ({"claims": "mended"}, {})


def test_folders_come_and_go(watch: UseCaseWatch[str], tmp_path: Path) -> None:
    write(tmp_path, "loans", "two")
    assert looks(watch)
    assert watch.current == {"claims": "one", "loans": "two"}
    shutil.rmtree(tmp_path / "claims")
    assert looks(watch)
    assert watch.current == {"loans": "two"}


def test_a_folder_that_lost_its_usecase_yaml_is_served_on(watch: UseCaseWatch[str], tmp_path: Path) -> None:
    """That is a broken folder, not the wish to end a use case."""
    write(tmp_path, "claims", "Answer.", "prompts/reply.md")
    write(tmp_path, "loans", "two")
    looks(watch)
    (tmp_path / "claims" / "usecase.yaml").unlink()
    assert not looks(watch)
    assert watch.current["claims"] == "one"
    assert "is gone" in watch.refused["claims"]


def test_a_folder_of_use_cases_that_vanishes_as_a_whole_ends_nothing(
    watch: UseCaseWatch[str], tmp_path: Path
) -> None:
    """A disk that was unmounted would otherwise end all use cases at once."""
    (tmp_path / "claims").rename(tmp_path / "elsewhere-without-name")
    (tmp_path / "elsewhere-without-name" / "usecase.yaml").unlink()
    assert not looks(watch, 3)
    assert watch.current == {"claims": "one"}


def test_what_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    """The version that is told must be the version that is served."""
    write(tmp_path, "claims", "one")
    meddling: list[str] = []

    def slow(name: str) -> str:
        read = build(tmp_path, name)
        if meddling:
            write(tmp_path, name, meddling.pop())
        return read

    watch = UseCaseWatch(tmp_path, slow)
    meddling.append("three, longer")
    write(tmp_path, "claims", "two")
    assert not looks(watch)
    assert watch.current == {"claims": "one"}
    assert looks(watch, 3)
    assert watch.current == {"claims": "three, longer"}
