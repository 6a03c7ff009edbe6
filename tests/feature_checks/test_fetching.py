"""Data files are known by hash: the mirror first, then the cache, then the address."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from feature_checks.data_spec import RemoteFile
from feature_checks.errors import DatasetError
from feature_checks.fetching import fetch_file

CONTENT = b"text,kind\nhello,lost\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
URL = "https://data.example/files/train.csv"
REMOTE = RemoteFile(url=URL, sha256=DIGEST)

Answer = Callable[[httpx.Request], httpx.Response]


def answering(content: bytes = CONTENT, status: int = 200) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, content=content))


def never(request: httpx.Request) -> httpx.Response:
    raise AssertionError("the address must not be asked")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("SWITCHYARD_DATA_MIRROR", str(folder))
    return folder


def test_the_mirror_is_asked_first_and_by_hash_whatever_the_file_is_called(
    mirror: Path, tmp_path: Path
) -> None:
    (mirror / "deep").mkdir()
    (mirror / "deep" / "renamed.bin").write_bytes(CONTENT)
    found = fetch_file(REMOTE, tmp_path / "cache", transport=httpx.MockTransport(never))
    assert found == mirror / "deep" / "renamed.bin"


def test_a_mirror_file_of_the_right_name_and_other_bytes_is_not_used(mirror: Path, tmp_path: Path) -> None:
    (mirror / "train.csv").write_bytes(CONTENT + b"changed")
    found = fetch_file(REMOTE, tmp_path / "cache", transport=answering())
    assert found.read_bytes() == CONTENT


def test_a_mirror_that_does_not_exist_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHYARD_DATA_MIRROR", str(tmp_path / "nowhere"))
    assert fetch_file(REMOTE, tmp_path / "cache", transport=answering()).read_bytes() == CONTENT


def test_what_was_fetched_once_is_not_fetched_again(tmp_path: Path) -> None:
    first = fetch_file(REMOTE, tmp_path / "cache", transport=answering())
    assert fetch_file(REMOTE, tmp_path / "cache", transport=httpx.MockTransport(never)) == first


def test_a_spoilt_cache_file_is_fetched_anew(tmp_path: Path) -> None:
    first = fetch_file(REMOTE, tmp_path / "cache", transport=answering())
    first.write_bytes(b"spoilt")
    assert fetch_file(REMOTE, tmp_path / "cache", transport=answering()).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_naming_url_expected_and_got_and_nothing_is_kept(tmp_path: Path) -> None:
    other = b"text,kind\nsomething else,lost\n"
    with pytest.raises(DatasetError) as error:
        fetch_file(REMOTE, tmp_path / "cache", transport=answering(other))
    for part in (URL, DIGEST, hashlib.sha256(other).hexdigest()):
        assert part in str(error.value)
    assert "something else" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("status", [404, 500, 403])
def test_an_error_status_is_said_with_the_way_out(tmp_path: Path, status: int) -> None:
    with pytest.raises(DatasetError, match=f"status {status}.*SWITCHYARD_DATA_MIRROR.*--data sample"):
        fetch_file(REMOTE, tmp_path / "cache", transport=answering(b"", status))


def test_an_address_that_cannot_be_reached_is_a_dataset_error(tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(DatasetError, match=f"{URL}: ConnectError"):
        fetch_file(REMOTE, tmp_path / "cache", transport=httpx.MockTransport(refuse))


def test_an_address_that_hangs_is_given_up_within_the_time_limit(tmp_path: Path) -> None:
    end = threading.Event()

    def hang(request: httpx.Request) -> httpx.Response:
        end.wait(60)
        return httpx.Response(200, content=CONTENT)

    started = time.monotonic()
    with pytest.raises(DatasetError, match=r"no answer within 0.2 s"):
        fetch_file(REMOTE, tmp_path / "cache", 0.2, transport=httpx.MockTransport(hang))
    assert time.monotonic() - started < 20
    end.set()


def test_a_cache_that_cannot_be_written_is_a_dataset_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match="cache cannot be written"):
        fetch_file(REMOTE, tmp_path / "cache", transport=answering())
