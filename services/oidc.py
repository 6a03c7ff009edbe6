"""Bearer tokens of an identity provider (OpenID Connect, RFC 9068): a JWT becomes a `Caller`, or nobody.

The provider's public key must fit by `kid`, the algorithm must be one that the settings allow and that
the key is for, so neither `none` nor a public key used as a secret opens anything. `jwk`, `jku` and
`x5u` in a header are never looked at.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jws import JWSRegistry

from services.errors import Forbidden, Unauthorized
from services.jwks import PublicKey
from services.keys import is_tenant, utc_now
from services.oidc_settings import Claim, OidcSettings
from services.privacy.hashing import keyed_hash
from services.values import Caller

MAX_CHARACTERS = 8 * 1024
TYPES = ("jwt", "at+jwt", "application/at+jwt")  # lower case; a JWS made for something else has another

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Jwks(Protocol):
    """Where public keys are found; `services.jwks_source.JwksSource` is one."""

    async def key(self, kid: str) -> PublicKey | None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token speaks for, and until when."""

    caller: Caller
    expires_at: datetime


def is_token(presented: str) -> bool:
    """Is it written like a JWT? API keys never are: they hold no dot."""
    return _TOKEN.fullmatch(presented) is not None


class Tokens:
    """Verifies tokens of one provider. `cache_s`: how long a verified token need not be looked at again."""

    def __init__(
        self,
        settings: OidcSettings,
        jwks: Jwks,
        hash_key: bytes,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._jwks = jwks
        self._hash_key = hash_key
        self._now = now
        # Providers put words of their own into headers; we look at four.
        self._registry = JWSRegistry(algorithms=list(settings.algorithms), strict_check_header=False)
        self.cache_s = settings.token_cache_s

    async def verify(self, token: str) -> Identity:
        """Raises `Unauthorized`, `Forbidden` (no role of ours) or `IdentityUnavailable`."""
        header = self._header(token)
        key = await self._jwks.key(header["kid"])
        if key is None or not key.takes(header["alg"]):
            raise _invalid("the identity provider has no such key for this algorithm")
        try:
            claims = jwt.decode(
                token, key.key, algorithms=list(self._settings.algorithms), registry=self._registry
            ).claims
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise _invalid("its signature does not fit") from None
        return self._identity(claims)

    def _header(self, token: str) -> Mapping[str, Any]:
        """The header's words, which nobody has signed for yet: they choose among our keys, no more."""
        if len(token) > MAX_CHARACTERS:
            raise _invalid(f"expected at most {MAX_CHARACTERS} characters")
        first = token.split(".", 1)[0]
        try:
            header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
        except (ValueError, RecursionError):
            raise _invalid("its header cannot be read") from None
        if not isinstance(header, dict) or header.get("alg") not in self._settings.algorithms:
            raise _invalid(f"expected an algorithm of {', '.join(self._settings.algorithms)}")
        if not isinstance(header.get("kid"), str) or not 0 < len(header["kid"]) <= 200:
            raise _invalid("its header names no key (kid)")
        if str(header.get("typ", TYPES[0])).lower() not in TYPES or "crit" in header or "b64" in header:
            raise _invalid("it was made for another purpose")
        return header

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        now = int(self._now().timestamp())
        required = jwt.JWTClaimsRegistry(
            now=now,
            leeway=self._settings.leeway_s,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            required.validate(dict(claims))
        except ExpiredTokenError:
            raise _invalid("it has expired") from None
        except MissingClaimError as error:
            raise _invalid(f"it lacks {error.claim}") from None
        except InvalidClaimError as error:
            raise _invalid(f"its {error.claim} is not what is expected here") from None
        if claims["exp"] - now > self._settings.max_lifetime_s:
            raise _invalid(f"it is good for longer than {self._settings.max_lifetime_s} s")
        tenant = _at(claims, self._settings.tenant_claim)
        if not isinstance(tenant, str) or not is_tenant(tenant):
            raise _invalid("it names no tenant as this service writes them")
        # Not the subject itself: it may be somebody's name or address, and counters are kept by it.
        who = keyed_hash(self._hash_key, "oidc", tenant, f"{self._settings.issuer} {claims['sub']}")
        return Identity(
            Caller(tenant, who, self._roles(claims)),
            datetime.fromtimestamp(claims["exp"] + self._settings.leeway_s, UTC),
        )

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        said = _at(claims, self._settings.roles_claim)
        names = said.split() if isinstance(said, str) else said  # one string with spaces, as in `scope`
        known = self._settings.roles
        roles = frozenset(
            known[name]
            for name in (names if isinstance(names, list) else ())
            if isinstance(name, str) and name in known
        )
        if not roles:
            raise Forbidden("this token gives no role here; SWITCHYARD_OIDC's `roles` says which names do")
        return roles


def _at(claims: Mapping[str, Any], claim: Claim) -> object:
    value: object = claims
    for name in (claim,) if isinstance(claim, str) else claim:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _invalid(why: str) -> Unauthorized:
    return Unauthorized(f"this token is not valid: {why}")
