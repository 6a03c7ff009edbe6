"""Which tokens of an identity provider are taken, and what their claims mean here (`SWITCHYARD_OIDC`)."""

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Role = Literal["caller", "reviewer", "auditor", "operator"]
Algorithm = Literal[  # asymmetric ones alone: a secret that verifies could also sign
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]  # fmt: skip
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Claim = Name | Annotated[tuple[Name, ...], Field(min_length=1, max_length=5)]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class OidcSettings(BaseModel):
    """One identity provider. A claim is a name, or the way to it: `["realm_access", "roles"]`.

    Nothing that decides who somebody is has a default: issuer, audience and the two claims are named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    issuer: Name
    audience: Name
    jwks_url: str = Field(max_length=1000, repr=False)
    tenant_claim: Claim
    roles_claim: Claim
    roles: Mapping[Name, Role] = Field(min_length=1, max_length=100)  # theirs -> ours; others are ignored
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "PS256", "ES256", "EdDSA"), min_length=1)

    leeway_s: int = Field(default=30, ge=0, le=120)  # how far the clocks may differ
    max_lifetime_s: int = Field(default=86_400, ge=60, le=604_800)  # tokens good for longer are refused
    token_cache_s: float = Field(default=60.0, ge=0, le=300)  # how long a key that was withdrawn still counts
    refresh_s: float = Field(default=300.0, ge=5)  # how often the keys are fetched again
    refetch_s: float = Field(default=10.0, ge=1)  # at the most so often, whatever callers send
    keys_for_s: float = Field(default=3600.0, ge=0)  # so long known keys are good while none can be fetched
    timeout_s: float = Field(default=3.0, gt=0, le=30)  # of one fetch

    @field_validator("jwks_url")
    @classmethod
    def _safe_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
            raise ValueError("expected https://… (http only on this machine)")
        if not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError("expected an address with a host, and without login or #fragment")
        return url
