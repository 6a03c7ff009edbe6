"""Building the door from the settings: keys, tokens of an identity provider, and what counts the rates."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from limits.aio.storage import Storage

from services.api.limits import RateLimits
from services.ingress import Ingress, Keys
from services.oidc import Tokens
from services.privacy.hashing import keyed_hash
from services.settings import ServiceSettings
from services.state.rate_counters import LoopCounters


def open_door(
    settings: ServiceSettings, keys: Keys, hash_key: bytes, closing: AsyncExitStack
) -> tuple[Ingress, Callable[[], None]]:
    """The ingress, and what may be done early, on the event loop, so that the first request need not wait.

    Connects to nothing yet. `closing` gets what must be closed.
    """
    limits = RateLimits(
        _rate_counters(settings, closing),
        settings.requests_per_minute_per_key,
        settings.requests_per_minute_per_tenant,
        settings.failed_keys_per_minute,
        hide=lambda address: keyed_hash(hash_key, "addr", "", address),
    )
    if settings.oidc is None:
        return Ingress(keys, limits, settings.key_cache_s), lambda: None
    from services.jwks_source import JwksSource, fetch_over_http, jwks_client  # takes 0.7 s

    client = jwks_client(settings.oidc.timeout_s)
    closing.push_async_callback(client.aclose)
    jwks = JwksSource(settings.oidc, fetch_over_http(client, settings.oidc.jwks_url))
    closing.push_async_callback(jwks.aclose)
    tokens = Tokens(settings.oidc, jwks, hash_key)
    return Ingress(keys, limits, settings.key_cache_s, tokens=tokens), jwks.warm_up


def _rate_counters(settings: ServiceSettings, closing: AsyncExitStack) -> Storage:
    """Redis where the settings name one, else this worker's own."""
    if settings.redis_url is None:
        return LoopCounters()
    from services.state.shared_rates import SharedRates  # takes 0.8 s

    rates = SharedRates(settings.redis_url.get_secret_value())
    closing.push_async_callback(rates.aclose)
    return rates
