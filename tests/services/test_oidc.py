"""Tokens of an identity provider: what makes somebody a caller, and every way in which it must not."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from pydantic import ValidationError

from services.errors import ConfigError, Forbidden, Unauthorized
from services.jwks import PublicKey, read_jwks
from services.oidc import Identity, Tokens, is_token
from services.oidc_settings import OidcSettings
from services.settings import load_settings
from tests.fakes import HASH_KEY

NOW = 1_800_000_000
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
SIGNS = {"RS256": RSA, "PS256": RSA, "ES256": EC, "EdDSA": ED}
SETTINGS: dict[str, Any] = {
    "issuer": "https://id.example.org/",
    "audience": "switchyard",
    "jwks_url": "https://id.example.org/jwks.json",
    "tenant_claim": "org",
    "roles_claim": ["realm_access", "roles"],
    "roles": {"sy-caller": "caller", "sy-audit": "auditor"},
}
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example.org/",
    "aud": ["switchyard", "other"],
    "sub": "anna@example.org",
    "org": "acme",
    "realm_access": {"roles": ["sy-caller", "offline_access"]},
    "exp": NOW + 600,
    "nbf": NOW - 10,
    "iat": NOW - 10,
}


def jwks(*keys: Any, **more: Any) -> bytes:
    return json.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]}).encode()


def token(claims: Mapping[str, Any] = CLAIMS, alg: str = "RS256", key: Any = None, **header: Any) -> str:
    key = key or SIGNS[alg]
    given = {"alg": alg, "kid": key.kid, "typ": "at+jwt", **header}
    given = {name: value for name, value in given.items() if value is not None}
    registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jws.serialize_compact(given, json.dumps(claims), key, registry=registry)


def part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@dataclass
class Provider:
    """`services.oidc.Jwks` from a dict; counts the questions."""

    keys: Mapping[str, PublicKey] = field(default_factory=lambda: read_jwks(jwks(RSA, EC, ED)))
    asked: list[str] = field(default_factory=list)

    async def key(self, kid: str) -> PublicKey | None:
        self.asked.append(kid)
        return self.keys.get(kid)


async def verify(presented: str, provider: Provider | None = None, **settings: Any) -> Identity:
    tokens = Tokens(
        OidcSettings(**{**SETTINGS, **settings}),
        provider or Provider(),
        HASH_KEY,
        lambda: datetime.fromtimestamp(NOW, UTC),
    )
    assert is_token(presented)
    return await tokens.verify(presented)


@pytest.mark.parametrize("alg", SIGNS)
async def test_a_good_token_is_its_tenant_with_the_roles_that_are_mapped(alg: str) -> None:
    """Names without a meaning here give nothing; the subject is kept as a keyed hash only."""
    identity = await verify(token(alg=alg))
    assert (identity.caller.tenant, identity.caller.roles) == ("acme", {"caller"})
    assert identity.expires_at.timestamp() == NOW + 630
    assert "anna" not in repr(identity)


async def test_the_same_person_is_the_same_caller_in_every_token() -> None:
    """Rates hold for a person, not for each of their tokens; another person has their own."""
    first = await verify(token())
    again = await verify(token({**CLAIMS, "exp": NOW + 700}))
    other = await verify(token({**CLAIMS, "sub": "bo"}))
    assert first.caller.key_id == again.caller.key_id != other.caller.key_id


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "https://evil.example.org/"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {"switchyard": 1}}, "aud"),
        ({"exp": NOW - 31}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": str(NOW + 60)}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": NOW + 90_000}, "longer"),
        ({"exp": 10**400}, "longer"),
        ({"nbf": NOW + 31}, "nbf"),
        ({"iat": NOW + 31}, "iat"),
        ({"sub": ""}, "sub"),
        ({"sub": None}, "sub"),
        ({"org": None}, "tenant"),
        ({"org": ["acme"]}, "tenant"),
        ({"org": "../acme"}, "tenant"),
        ({"org": "acme\n"}, "tenant"),
        ({"org": "Acme"}, "tenant"),
    ],
)
async def test_a_claim_that_is_missing_or_wrong_is_refused(change: dict[str, Any], why: str) -> None:
    """Each by itself, whatever else is right; the message names the claim and never its value."""
    with pytest.raises(Unauthorized, match=why) as refused:
        await verify(token({**CLAIMS, **change}))
    assert "anna" not in refused.value.message


async def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    """Thirty seconds, both ways."""
    await verify(token({**CLAIMS, "exp": NOW - 29}))
    await verify(token({**CLAIMS, "nbf": NOW + 30, "iat": NOW + 30}))


@pytest.mark.parametrize("roles", [[], ["admin", "caller"], {"sy-caller": 1}, 7, None, [["sy-caller"]]])
async def test_a_token_without_a_mapped_role_is_forbidden(roles: object) -> None:
    """Our own names for roles mean nothing in a token: only what the settings map does."""
    with pytest.raises(Forbidden, match="no role"):
        await verify(token({**CLAIMS, "realm_access": {"roles": roles}}))


async def test_roles_may_stand_in_one_string_as_scopes_do() -> None:
    identity = await verify(token({**CLAIMS, "scope": "openid sy-audit sy-caller"}), roles_claim="scope")
    assert identity.caller.roles == {"caller", "auditor"}


async def test_a_token_without_signature_is_refused() -> None:
    """`alg: none`, in any case, with or without a key id."""
    for alg in ("none", "None", "NONE", "nOnE", "", None, 7, ["RS256"]):
        with pytest.raises(Unauthorized, match="algorithm"):
            await verify(f"{part({'alg': alg, 'kid': 'rsa'})}.{part(CLAIMS)}.")


@pytest.mark.parametrize("alg", ["HS256", "HS512"])
async def test_a_public_key_is_no_secret(alg: str) -> None:
    """An HMAC with the public key, in any form that is published, signs nothing; nor can it be allowed."""
    for secret in (RSA.as_pem(private=False), RSA.as_der(private=False), jwks(RSA)):
        signed = f"{part({'alg': alg, 'kid': 'rsa'})}.{part(CLAIMS)}"
        mac = hmac.new(secret, signed.encode(), {"HS256": "sha256", "HS512": "sha512"}[alg]).digest()
        forged = f"{signed}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        with pytest.raises(Unauthorized, match="algorithm"):
            await verify(forged)
    with pytest.raises(ValidationError):
        OidcSettings(**{**SETTINGS, "algorithms": [alg]})


async def test_keys_that_the_token_brings_along_are_not_looked_at() -> None:
    """`jwk`, `jku`, `x5u`, `x5c`: signed well, by somebody else."""
    mine = OTHER.as_dict(private=False)
    for header in ({"jwk": mine}, {"jku": "https://evil.example.org/"}, {"x5u": "https://evil.example.org/"}):
        with pytest.raises(Unauthorized, match="signature"):
            await verify(token(key=OTHER, **header))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"kid": None}, "kid"),
        ({"kid": 7}, "kid"),
        ({"kid": "x" * 201}, "kid"),
        ({"kid": "new"}, "no such key"),
        ({"kid": "ec"}, "no such key"),
        ({"typ": "application/switchyard-receipt+jws"}, "purpose"),
        ({"typ": "logout+jwt"}, "purpose"),
        ({"alg": "RS512"}, "algorithm"),
        ({"crit": ["exp"]}, "purpose"),
        ({"b64": False}, "purpose"),
    ],
)
async def test_a_header_that_asks_for_something_else_is_refused(header: dict[str, Any], why: str) -> None:
    """The kid, and an algorithm that fits its key, are needed; extensions that change the meaning are not."""
    good = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
    changed = {name: value for name, value in {**good, **header}.items() if value is not None}
    with pytest.raises(Unauthorized, match=why):
        await verify(f"{part(changed)}.{token().split('.', 1)[1]}")


@pytest.mark.parametrize("where", [0, 1, 2])
async def test_a_token_that_was_altered_is_refused(where: int) -> None:
    """One character, in header, claims or signature."""
    parts = token().split(".")
    at = len(parts[where]) // 2
    parts[where] = parts[where][:at] + ("A" if parts[where][at] != "A" else "B") + parts[where][at + 1 :]
    with pytest.raises(Unauthorized):
        await verify(".".join(parts))


async def test_a_token_that_is_too_long_costs_nothing() -> None:
    """No decoding, no question for a key."""
    provider = Provider()
    with pytest.raises(Unauthorized, match="8192"):
        await verify(token({**CLAIMS, "x": "y" * 9000}), provider)
    assert not provider.asked


@given(st.from_regex(r"[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{0,60}", fullmatch=True))
async def test_nothing_that_looks_like_a_token_is_a_500(presented: str) -> None:
    with pytest.raises(Unauthorized):
        await verify(presented)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)
)
async def test_whatever_the_provider_signed_there_is_an_identity_or_a_refusal(value: Any) -> None:
    """Any value in any claim: never another exception."""
    for name in ("iss", "aud", "sub", "exp", "nbf", "iat", "org", "realm_access"):
        with suppress(Unauthorized, Forbidden):
            await verify(token({**CLAIMS, name: value}, "EdDSA"))


def test_only_public_signature_keys_are_taken() -> None:
    """Secrets, private halves, encryption keys, weak and nameless ones are left out; unknown kinds too."""
    good = EC.as_dict(private=False)
    left_out = [
        OctKey.generate_key(256, {"kid": "oct"}).as_dict(),
        {**RSA.as_dict(private=True), "kid": "private"},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "ops", "key_ops": ["sign"]},
        {**good, "kid": None},
        {**good, "kid": "curve", "crv": "secp256k1"},
        {"kty": "AKP", "kid": "pq", "pub": "AAAA"},
        {**RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False)},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 3},
        "no key",
    ]
    assert set(read_jwks(json.dumps({"keys": [*left_out, good]}).encode())) == {"ec"}


def test_a_key_for_one_algorithm_verifies_no_other() -> None:
    (only,) = read_jwks(jwks(RSA, alg="PS256")).values()
    assert only.takes("PS256")
    assert not only.takes("RS256")


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b"\xff", b"[" * 100_000, b" " * 300_000,
     jwks(RSA, OTHER), json.dumps({"keys": [{}] * 65}).encode()],
)  # fmt: skip
def test_what_is_no_usable_jwks_is_refused_whole(document: bytes) -> None:
    """Two different keys of one name included: nobody can tell which one is meant."""
    with pytest.raises(ValueError, match=r"expected|JSON|larger|holds no"):
        read_jwks(document)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org/jwks",
        "ftp://id.example.org",
        "https://user:pw@id.example.org/",
        "https://",
        "jwks",
    ],
)
def test_keys_are_fetched_over_tls_only(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else refused at start, by the setting's name and without its value."""
    monkeypatch.setenv("SWITCHYARD_OIDC", json.dumps({**SETTINGS, "jwks_url": url}))
    with pytest.raises(ConfigError, match=r"SWITCHYARD_OIDC\.jwks_url") as refused:
        load_settings()
    assert "pw" not in str(refused.value)
