"""What a call to an endpoint costs. Pure, and in whole nano-USD (1e-9 USD): floats drift, integers do not.

Prices are nano-USD for a million tokens, so that 0.0375 USD a million (37.5 nano-USD a token) is exact.
A cost is rounded up to the next nano-USD. What cannot be priced is never zero: its amount is None.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

NANOS_PER_USD = 1_000_000_000
MAX_NANOS = 2**53 - 1  # 9 million USD: the largest whole number that Redis' Lua (doubles) keeps exact
TOKENS_PER_PRICE = 1_000_000
MAX_TOKENS = 100_000_000  # no call has more; a larger report is a mistake or a lie
TOKENS_PER_MESSAGE = 32  # room for what a chat template puts around one message: role names, separators


def nanos_from_usd(usd: float, *, up: bool = False) -> int:
    """USD to whole nano-USD, rounded down (a limit) or up (a price). Raises `ValueError` outside 0 to 9e6."""
    amount = Decimal(repr(usd))
    if not amount.is_finite() or amount < 0 or amount * NANOS_PER_USD > MAX_NANOS:
        raise ValueError(f"expected 0 to {MAX_NANOS // NANOS_PER_USD} USD, got {usd!r}")
    return int((amount * NANOS_PER_USD).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))


def usd_from_nanos(nanos: int) -> float:
    """Nano-USD as USD, for reports only: never count with it."""
    return nanos / NANOS_PER_USD


@dataclass(frozen=True, slots=True)
class Prices:
    """Nano-USD for a million tokens of one endpoint. None: nobody said; a zero says that it is free."""

    input_nanos: int | None = None
    output_nanos: int | None = None
    cached_nanos: int | None = None  # None: cached input costs what other input costs

    @classmethod
    def from_usd(
        cls,
        usd_per_million_input: float | None,
        usd_per_million_output: float | None,
        usd_per_million_cached: float | None = None,
    ) -> "Prices":
        """Prices in USD for a million tokens; None stays unknown. Raises `ValueError`."""
        return cls(
            _price(usd_per_million_input), _price(usd_per_million_output), _price(usd_per_million_cached)
        )

    @property
    def known(self) -> bool:
        return self.input_nanos is not None and self.output_nanos is not None

    @property
    def free(self) -> bool:
        return self.input_nanos == 0 and self.output_nanos == 0 and not self.cached_nanos


UNPRICED = Prices()


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The prices of each endpoint. One that is not listed is unpriced, which is not the same as free."""

    prices: Mapping[str, Prices]

    def of(self, endpoint: str) -> Prices:
        return self.prices.get(endpoint, UNPRICED)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the endpoint reports them. `input_tokens` includes the cached ones."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0

    @classmethod
    def from_openai(cls, raw: Mapping[str, object] | None) -> "Usage | None":
        """The `usage` object of an OpenAI-compatible answer; None where it is missing or makes no sense.

        `completion_tokens` includes reasoning tokens; cached ones stand in `prompt_tokens_details`.
        """
        if raw is None:
            return None
        details = raw.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        counts = (raw.get("prompt_tokens"), raw.get("completion_tokens"), 0 if cached is None else cached)
        given, written, reused = (_count(value) for value in counts)
        if given is None or written is None or reused is None:
            return None
        return cls(given, written, reused)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs. `nanos` is None when nobody knows: then `reason` says why, and it is an alert."""

    nanos: int | None
    reason: str = ""

    @property
    def priced(self) -> bool:
        return self.nanos is not None

    @property
    def usd(self) -> float | None:
        return None if self.nanos is None else usd_from_nanos(self.nanos)


def cost_usd(usage: Usage | None, prices: Prices) -> Cost:
    """The cost of `usage`: (input - cached) x input + cached x cached + output x output price."""
    if usage is None:
        return Cost(None, "unpriced: the endpoint did not report its usage")
    if prices.input_nanos is None or prices.output_nanos is None:
        return Cost(None, "unpriced: the endpoint has no price; set usd_per_million_input and _output")
    if min(usage.input_tokens, usage.output_tokens, usage.cached_tokens) < 0:
        return Cost(None, "unpriced: the endpoint reported a negative number of tokens")
    if usage.cached_tokens > usage.input_tokens:
        return Cost(None, "unpriced: the endpoint reported more cached tokens than input tokens")
    cached_price = prices.input_nanos if prices.cached_nanos is None else prices.cached_nanos
    fresh = usage.input_tokens - usage.cached_tokens
    total = (
        fresh * prices.input_nanos
        + usage.cached_tokens * cached_price
        + usage.output_tokens * prices.output_nanos
    )
    return Cost(_per_price_unit(total))


def worst_case_usd(prompt_tokens_upper_bound: int, max_output_tokens: int, prices: Prices) -> Cost:
    """The most that a call can cost, to be reserved before it: nothing cached, every output token used."""
    if prices.input_nanos is None or prices.output_nanos is None:
        return Cost(None, "unpriced: the endpoint has no price; set usd_per_million_input and _output")
    # A cached token may cost more than a fresh one where an endpoint bills for filling its cache.
    dearest = max(prices.input_nanos, prices.cached_nanos or 0)
    return Cost(
        _per_price_unit(prompt_tokens_upper_bound * dearest + max_output_tokens * prices.output_nanos)
    )


def prompt_tokens_upper_bound(texts: Iterable[str]) -> int:
    """The most tokens that these messages can be (a byte-level tokenizer never makes more tokens than
    UTF-8 bytes), with room for the chat template. Pass every text sent: schema and tool texts count too."""
    return sum(len(text.encode("utf-8", "surrogatepass")) + TOKENS_PER_MESSAGE for text in texts)


def _per_price_unit(total: int) -> int:
    return -(-total // TOKENS_PER_PRICE)


def _price(usd: float | None) -> int | None:
    return None if usd is None else nanos_from_usd(usd, up=True)


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS:
        return value
    return None
