"""The log of promotions: whatever is done to a line that is followed by another shows."""

import threading
from pathlib import Path

import pytest

from registry.errors import LogBroken
from registry.keys import ensure_signing_keys
from registry.log import FILE, append, read_log
from registry.settings import RegistrySettings
from services.evidence.running import verify_home


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegistrySettings:
    monkeypatch.setenv("SWITCHYARD_HOME", str(tmp_path))
    settings = RegistrySettings()
    for version in range(3):
        append("promotion", {"name": "m", "version": version}, settings)
    return settings


def lines(settings: RegistrySettings) -> list[bytes]:
    return (settings.home / FILE).read_bytes().split(b"\n")


def test_what_was_appended_is_read_in_order_with_its_signer(here: RegistrySettings) -> None:
    entries = read_log(here)
    assert [(e.n, e.kind, e.body["version"]) for e in entries] == [(n, "promotion", n) for n in range(3)]
    assert {e.key_id for e in entries} == {ensure_signing_keys(here.keys_dir).key_id}


def test_removed_swapped_altered_and_foreign_lines_are_found_and_audit_verify_names_them(
    here: RegistrySettings, tmp_path: Path
) -> None:
    a, b, c, end = lines(here)
    other = RegistrySettings(home=tmp_path / "other")
    append("promotion", {"name": "m", "version": 0}, other)
    foreign = lines(other)[0]
    flipped = b[:-5] + (b"A" if b[-5:-4] != b"A" else b"B") + b[-4:]
    assert not [p for p in verify_home({"keys": []}).problems if FILE in p]
    for broken in ([b, c], [a, c], [b, a, c], [a, flipped, c], [foreign, b, c], [a, a, b, c], [a, b"", c]):
        (here.home / FILE).write_bytes(b"\n".join([*broken, end]))
        with pytest.raises(LogBroken, match=FILE):
            read_log(here)
        assert [p for p in verify_home({"keys": []}).problems if FILE in p]


def test_a_line_that_a_dying_writer_left_half_is_cut_and_the_chain_goes_on(here: RegistrySettings) -> None:
    with (here.home / FILE).open("ab") as file:
        file.write(b"eyJhbGciOi")
    assert append("refusal", {}, here) == 3
    assert [entry.n for entry in read_log(here)] == [0, 1, 2, 3]


def test_many_writers_make_one_chain(here: RegistrySettings) -> None:
    threads = [threading.Thread(target=append, args=("refusal", {"n": n}, here)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_log(here)) == 11
