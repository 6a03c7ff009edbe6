"""Receipt keys: one active, agreed on by all workers, rotated without losing an old receipt."""

import json
import subprocess
import sys

import pytest

from services.errors import SigningUnavailable
from services.receipt_keys import active_kid, ensure_receipt_key, public_jwks, rotate_receipt_key
from tests.fakes import REPOSITORY


def test_a_key_is_made_once_and_then_stays(tmp_path):
    first = ensure_receipt_key(tmp_path)
    assert ensure_receipt_key(tmp_path).kid == first.kid == active_kid(tmp_path)
    assert [key["kid"] for key in public_jwks(tmp_path)["keys"]] == [first.kid]


def test_its_id_is_the_thumbprint_of_the_key(tmp_path):
    assert ensure_receipt_key(tmp_path).kid == ensure_receipt_key(tmp_path).key.thumbprint()


def test_private_keys_are_for_their_owner_only_and_public_ones_hold_nothing_private(tmp_path):
    signing = ensure_receipt_key(tmp_path)
    private = tmp_path / "receipts" / f"{signing.kid}.json"
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.parent.stat().st_mode & 0o777 == 0o700
    (public,) = public_jwks(tmp_path)["keys"]
    assert public.keys() == {"kty", "crv", "x", "kid", "use", "alg"}
    assert json.loads(private.read_text())["d"] not in repr(signing)


def test_workers_that_start_together_agree_on_one_key(tmp_path):
    script = (
        "import sys; from pathlib import Path; from services.receipt_keys import ensure_receipt_key; "
        "print(ensure_receipt_key(Path(sys.argv[1])).kid)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    workers = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    kids = {worker.communicate()[0].strip() for worker in workers}
    assert len(kids) == 1
    assert [key["kid"] for key in public_jwks(tmp_path)["keys"]] == list(kids)


def test_rotation_begins_a_new_key_keeps_the_old_public_one_and_deletes_the_old_private_one(tmp_path):
    old, new = ensure_receipt_key(tmp_path), rotate_receipt_key(tmp_path)
    assert new.kid != old.kid
    assert active_kid(tmp_path) == new.kid == ensure_receipt_key(tmp_path).kid
    assert [key["kid"] for key in public_jwks(tmp_path)["keys"]] == [old.kid, new.kid]
    assert [file.stem for file in (tmp_path / "receipts").glob("*.json")] == [new.kid]


def test_a_lost_public_file_is_made_again_for_the_active_key(tmp_path):
    signing = ensure_receipt_key(tmp_path)
    (tmp_path / "jwks.json").unlink()
    ensure_receipt_key(tmp_path)
    assert [key["kid"] for key in public_jwks(tmp_path)["keys"]] == [signing.kid]


def test_a_start_that_was_killed_between_two_steps_leaves_a_usable_folder(tmp_path):
    signing = ensure_receipt_key(tmp_path)
    (tmp_path / "receipts" / "active").unlink()
    again = ensure_receipt_key(tmp_path)
    assert again.kid != signing.kid
    assert {key["kid"] for key in public_jwks(tmp_path)["keys"]} == {signing.kid, again.kid}


@pytest.mark.parametrize("damage", ["gone", "not json", "another key"])
def test_a_damaged_key_is_refused_with_what_to_do_and_none_is_made_in_its_place(tmp_path, damage):
    signing = ensure_receipt_key(tmp_path)
    file = tmp_path / "receipts" / f"{signing.kid}.json"
    if damage == "gone":
        file.unlink()
    elif damage == "not json":
        file.write_text("{")
    else:
        other = ensure_receipt_key(tmp_path / "other")
        file.write_bytes((tmp_path / "other" / "receipts" / f"{other.kid}.json").read_bytes())
    with pytest.raises(SigningUnavailable) as raised:
        ensure_receipt_key(tmp_path)
    assert raised.value.status == 503
    assert "remove the file `active`" in raised.value.message
    assert str(tmp_path) not in raised.value.message


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(SigningUnavailable):
        ensure_receipt_key(tmp_path / "keys")
    with pytest.raises(SigningUnavailable):
        rotate_receipt_key(tmp_path / "keys")
