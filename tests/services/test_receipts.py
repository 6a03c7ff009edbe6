"""Receipts: verified offline with the public keys alone; anything altered, forged or reused is refused."""

import base64
import hashlib
import hmac
import json
import string
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey, RSAKey

from services.errors import ReceiptRefused
from services.journal_file import Appended
from services.privacy.hashing import content_digest
from services.receipt_check import Expected, check_answer, check_expected, verify_receipt
from services.receipt_keys import public_jwks, rotate_receipt_key
from services.receipts import TYPE, Receipts
from services.signer import REGISTRY
from services.synthesis import Outcome, answer_digest
from services.values import AttemptRecord, Envelope
from tests.fakes import REPOSITORY

OUTPUT = {"reply": "An answer.", "intent": "card_arrival"}
ENVELOPE = Envelope("a" * 32, "support", "acme", {"text": "hello"}, frozenset({"user_content"}), "b" * 64)
APPENDED = Appended("file.jsonl", 7, "c" * 64, "2026-11-22T21:00:00+00:00")
ATTEMPTS = (
    AttemptRecord("local", "declined", "unsure", ("permit-it",)),
    AttemptRecord("cloud/a", "answered", "answered", ("permit-eu",), 812.0, 0.0012, "a-model"),
)


def outcome(output=OUTPUT):
    return Outcome(
        "cloud/a", output, answer_digest(output), None, False, (), ATTEMPTS, ("output_schema",),
        {"config": "abc", "prompt": "def"}, 0.0012,
    )  # fmt: skip


@pytest.fixture(scope="module")
def keys_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def receipt(keys_dir):
    return Receipts(keys_dir).issue(ENVELOPE, outcome(), APPENDED)


@pytest.fixture(scope="module")
def jwks(keys_dir, receipt):
    return public_jwks(keys_dir)


def encode(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def with_header(receipt, **changes):
    header, payload, signature = receipt.split(".")
    changed = {name: value for name, value in {**decode(header), **changes}.items() if value is not None}
    return f"{encode(changed)}.{payload}.{signature}"


def test_a_receipt_says_how_the_answer_came_to_be(receipt, jwks):
    claims = verify_receipt(receipt, jwks)
    assert claims["id"] == ENVELOPE.id
    assert claims["request"] == {"sha256": "b" * 64, "tags": ["user_content"]}
    assert claims["answer"] == {"sha256": answer_digest(OUTPUT), "redacted": False}
    assert claims["journal"] == {"file": "file.jsonl", "seq": 7, "hash": "c" * 64}
    assert claims["attempts"] == [
        {"target": "local", "outcome": "declined", "policy_ids": ["permit-it"]},
        {
            "target": "cloud/a", "outcome": "answered", "policy_ids": ["permit-eu"],
            "model": "a-model", "cost_usd": 0.0012,
        },
    ]  # fmt: skip
    assert (claims["tenant"], claims["use_case"], claims["route"]) == ("acme", "support", "cloud/a")
    assert (claims["versions"], claims["cost_usd"]) == ({"config": "abc", "prompt": "def"}, 0.0012)
    assert abs(claims["iat"] - time.time()) < 60


def test_it_is_a_plain_compact_jws_that_any_jose_library_verifies(receipt, jwks):
    header = decode(receipt.split(".")[0])
    assert header == {"alg": "EdDSA", "kid": jwks["keys"][0]["kid"], "typ": TYPE}
    key = OKPKey.import_key(jwks["keys"][0])
    assert jws.deserialize_compact(receipt, key, algorithms=["EdDSA"]).payload


def test_it_verifies_offline_in_a_process_that_has_nothing_but_the_key_file(receipt, keys_dir):
    script = (
        "import json, sys; from services.receipt_check import verify_receipt; "
        "print(verify_receipt(sys.argv[1], json.load(open(sys.argv[2])))['id'])"
    )
    command = [sys.executable, "-c", script, receipt, str(keys_dir / "jwks.json")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.strip() == ENVELOPE.id, done.stderr


@settings(max_examples=300, deadline=None)
@given(
    position=st.integers(0, 10**6), letter=st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ ")
)
def test_a_receipt_altered_in_any_one_place_is_refused(receipt, jwks, position, letter):
    position %= len(receipt)
    if receipt[position] == letter:
        return
    with pytest.raises(ReceiptRefused):
        verify_receipt(receipt[:position] + letter + receipt[position + 1 :], jwks)


def test_a_second_spelling_of_the_same_signature_is_refused(receipt, jwks):
    """The last letter of a signature has bits to spare: other letters decode to the same bytes."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    same = [letter for letter in letters if letter != receipt[-1] and _same_signature(receipt, letter)]
    assert len(same) == 15
    for letter in same:
        with pytest.raises(ReceiptRefused, match="was altered"):
            verify_receipt(receipt[:-1] + letter, jwks)


def _same_signature(receipt, last_letter):
    signature = receipt.split(".")[2]
    other = signature[:-1] + last_letter
    return base64.urlsafe_b64decode(other + "==") == base64.urlsafe_b64decode(signature + "==")


@given(st.text() | st.text(alphabet=string.ascii_letters + "._-"))
def test_whatever_is_no_receipt_is_refused_and_never_crashes(text):
    with pytest.raises(ReceiptRefused):
        verify_receipt(text, {"keys": []})


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_cut_or_lengthened_receipt_is_refused(receipt, jwks, cut):
    with pytest.raises(ReceiptRefused):
        verify_receipt(receipt[:cut], jwks)
    with pytest.raises(ReceiptRefused):
        verify_receipt(receipt + "A", jwks)
    with pytest.raises(ReceiptRefused, match="three parts"):
        verify_receipt(receipt + ".x", jwks)


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS256", "ES256", "Ed448", "", None, 5])
def test_no_other_algorithm_is_taken(receipt, jwks, alg):
    with pytest.raises(ReceiptRefused, match="algorithm"):
        verify_receipt(with_header(receipt, alg=alg), jwks)


def test_a_public_key_used_as_an_hmac_secret_forges_nothing(receipt, jwks):
    """The classic confusion: sign with HS256 under what everybody knows."""
    header, payload, _ = with_header(receipt, alg="HS256").split(".")
    secret = base64.urlsafe_b64decode(jwks["keys"][0]["x"] + "=")
    mac = hmac.new(secret, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    with pytest.raises(ReceiptRefused, match="expected algorithm EdDSA, got HS256"):
        verify_receipt(f"{header}.{payload}.{encode(mac)}", jwks)


def test_an_unsigned_receipt_is_refused(receipt, jwks):
    header, payload, _ = with_header(receipt, alg="none").split(".")
    with pytest.raises(ReceiptRefused, match="algorithm"):
        verify_receipt(f"{header}.{payload}.", jwks)
    header, payload, _ = receipt.split(".")
    with pytest.raises(ReceiptRefused):
        verify_receipt(f"{header}.{payload}.", jwks)


@pytest.mark.parametrize(
    "extra", [{"crit": ["b64"], "b64": False}, {"jku": "https://evil"}, {"jwk": {}}, {"x5c": []}]
)
def test_a_header_that_brings_its_own_key_or_options_is_refused(receipt, jwks, extra):
    with pytest.raises(ReceiptRefused, match="something else than alg, kid and typ"):
        verify_receipt(with_header(receipt, **extra), jwks)


def forged(key, claims, **header):
    protected = {"alg": "EdDSA", "kid": key.thumbprint(), "typ": TYPE, **header}
    return jws.serialize_compact(protected, json.dumps(claims).encode(), key, registry=REGISTRY)


def test_a_receipt_of_another_key_is_refused_also_when_it_claims_ours(receipt, jwks):
    claims, stranger = verify_receipt(receipt, jwks), OKPKey.generate_key("Ed25519")
    with pytest.raises(ReceiptRefused, match="is not among the 1 of the key set"):
        verify_receipt(forged(stranger, claims), jwks)
    with pytest.raises(ReceiptRefused, match="signature does not fit"):
        verify_receipt(forged(stranger, claims, kid=jwks["keys"][0]["kid"]), jwks)


def test_a_key_set_that_gives_a_known_id_to_another_key_is_refused(receipt, jwks):
    claims, stranger = verify_receipt(receipt, jwks), OKPKey.generate_key("Ed25519")
    kid = jwks["keys"][0]["kid"]
    swapped = {"keys": [{**stranger.as_dict(private=False), "kid": kid}]}
    with pytest.raises(ReceiptRefused, match="gives its key id to another key"):
        verify_receipt(forged(stranger, claims, kid=kid), swapped)


def test_a_key_of_another_kind_or_purpose_is_refused(receipt, jwks):
    (ours,) = jwks["keys"]
    others = [
        {**OctKey.generate_key(256).as_dict(), "kid": ours["kid"]},
        {**RSAKey.generate_key(2048).as_dict(private=False), "kid": ours["kid"]},
        {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": ours["kid"]},
        {**ours, "use": "enc"},
    ]
    for other in others:
        with pytest.raises(ReceiptRefused, match="not an Ed25519 signing key"):
            verify_receipt(receipt, {"keys": [other]})
    with pytest.raises(ReceiptRefused, match="cannot be read"):
        verify_receipt(receipt, {"keys": [{**ours, "x": "short"}]})


@pytest.mark.parametrize("jwks", [{}, [], {"keys": {}}, {"keys": "x"}, None])
def test_what_is_no_key_set_is_refused(receipt, jwks):
    with pytest.raises(ReceiptRefused, match="not a JWKS"):
        verify_receipt(receipt, jwks)


def test_a_signature_made_for_another_purpose_is_no_receipt(keys_dir, receipt, jwks):
    key = Receipts(keys_dir)._signer._signing.key
    claims = verify_receipt(receipt, jwks)
    with pytest.raises(ReceiptRefused, match="another purpose"):
        verify_receipt(forged(key, claims, typ="JWT"), jwks)


@pytest.mark.parametrize("change", [{"v": 2}, {"v": None}, {"id": 5}, {"journal": None}, {"attempts": {}}])
def test_a_signed_statement_that_is_not_a_receipt_of_this_format_is_refused(keys_dir, receipt, jwks, change):
    key = Receipts(keys_dir)._signer._signing.key
    with pytest.raises(ReceiptRefused, match=r"format|claim"):
        verify_receipt(forged(key, {**verify_receipt(receipt, jwks), **change}), jwks)
    with pytest.raises(ReceiptRefused, match="not a JSON object"):
        verify_receipt(forged(key, ["no", "claims"]), jwks)


def test_after_a_rotation_old_receipts_verify_and_new_ones_carry_the_new_key(tmp_path):
    receipts = Receipts(tmp_path)
    old = receipts.issue(ENVELOPE, outcome(), APPENDED)
    signing = rotate_receipt_key(tmp_path)
    receipts._signer._look_again = 0.0  # five seconds later
    new = receipts.issue(ENVELOPE, outcome(), APPENDED)
    assert decode(new.split(".")[0])["kid"] == signing.kid != decode(old.split(".")[0])["kid"]
    for receipt in (old, new):
        assert verify_receipt(receipt, public_jwks(tmp_path))["id"] == ENVELOPE.id


@pytest.mark.parametrize("damage", ["gone", "unknown kid", "no text"])
def test_a_key_folder_that_breaks_while_running_does_not_stop_receipts(tmp_path, damage):
    receipts = Receipts(tmp_path)
    jwks = public_jwks(tmp_path)
    active = tmp_path / "receipts" / "active"
    if damage == "gone":
        active.unlink()
    else:
        active.write_bytes(b"made-up" if damage == "unknown kid" else b"\xff\xfe")
    receipts._signer._look_again = 0.0
    assert verify_receipt(receipts.issue(ENVELOPE, outcome(), APPENDED), jwks)


def test_a_receipt_is_bound_to_its_decision_and_its_answer(receipt, jwks):
    claims = verify_receipt(receipt, jwks)
    check_answer(claims, ENVELOPE.id, dict(reversed(OUTPUT.items())))
    with pytest.raises(ReceiptRefused, match="another decision"):
        check_answer(claims, "f" * 32, OUTPUT)
    with pytest.raises(ReceiptRefused, match="digests differ"):
        check_answer(claims, ENVELOPE.id, {**OUTPUT, "reply": "Another answer."})


def test_a_receipt_says_whether_the_delivered_answer_differs_from_the_redacted_one(keys_dir, jwks):
    envelope = Envelope(
        "a" * 32,
        "support",
        "acme",
        {"text": "<CARD_1>"},
        frozenset(),
        "b" * 64,
        placeholders=frozenset({"<CARD_1>"}),
    )
    receipts = Receipts(keys_dir)
    plain = verify_receipt(receipts.issue(envelope, outcome(), APPENDED), jwks)
    assert plain["answer"]["redacted"] is False
    holding = outcome({**OUTPUT, "reply": "Your <CARD_1> is blocked."})
    assert verify_receipt(receipts.issue(envelope, holding, APPENDED), jwks)["answer"]["redacted"] is True


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (Expected(decision_id="f" * 32), "another decision"),
        (Expected(output={"reply": "Another.", "intent": "x"}), "not the receipt of this answer"),
        (Expected(request={"text": "another"}), "not the receipt of this request"),
        (Expected(max_age_s=10), "is 100 s old: expected at most 10"),
    ],
)
def test_a_receipt_used_again_for_something_else_is_refused_with_the_reason(tmp_path, expected, reason):
    fields = {"text": "hello"}
    asked = replace(ENVELOPE, fields=fields, digest=content_digest("support", fields))
    receipts = Receipts(tmp_path)
    claims = verify_receipt(receipts.issue(asked, outcome(), APPENDED), public_jwks(tmp_path))
    check_expected(claims, Expected(ENVELOPE.id, OUTPUT, fields, 1000), claims["iat"] + 100)
    with pytest.raises(ReceiptRefused, match=reason):
        check_expected(claims, expected, claims["iat"] + 100)


def test_a_receipt_of_the_future_has_no_age(receipt, jwks):
    claims = verify_receipt(receipt, jwks)
    with pytest.raises(ReceiptRefused, match="in the future"):
        check_expected(claims, Expected(max_age_s=10), claims["iat"] - 100)
