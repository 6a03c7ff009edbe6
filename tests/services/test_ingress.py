"""The door: keys in and out, remembered, throttled, and what happens when keys cannot be looked up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services import keys
from services.api.limits import RateLimits
from services.errors import (
    Forbidden,
    IdentityUnavailable,
    StateUnavailable,
    TooManyRequests,
    Unauthorized,
)
from services.ingress import GRACE_S, Ingress, trace_id
from services.keys import KeyRecord
from services.oidc import Identity
from services.state.rate_counters import LoopCounters
from services.values import Caller

START = keys.utc_now()
HERE = "192.0.2.1"


class Clock:
    """Both clocks of the ingress, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self):  # type: ignore[no-untyped-def]  # a datetime
        return START + timedelta(seconds=self.seconds)


class FakeKeys:
    """`services.ingress.Keys` in a dict; counts look-ups, and fails when told to."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}
        self.lookups = 0
        self.down = False

    def find(self, key_id: str) -> KeyRecord | None:
        self.lookups += 1
        if self.down:
            raise StateUnavailable("down")
        return self.records.get(key_id)

    def issue(self, *roles: str, tenant: str = "acme", days: int = 30) -> str:
        key, record = keys.issue(tenant, roles or ("caller",), START, days)
        self.records[record.id] = record
        return key


class Door:
    """An ingress with everything around it in the test's hand."""

    def __init__(self, per_key: int = 1000, per_tenant: int = 1000, failures: int = 5) -> None:
        self.clock = Clock()
        self.keys = FakeKeys()
        self.limits = RateLimits(LoopCounters(self.clock), per_key, per_tenant, failures)
        self.ingress = Ingress(self.keys, self.limits, 1.0, self.clock, self.clock.now)

    async def enter(self, key: str, role: str | None = "caller", address: str = HERE):  # type: ignore[no-untyped-def]  # a test double
        return await self.ingress.admit(f"Bearer {key}", address, role)


@pytest.fixture
def door() -> Door:
    return Door()


async def test_a_good_key_is_its_tenant_with_its_roles(door: Door) -> None:
    """The caller is what the key says, not what the request says."""
    caller = await door.enter(door.keys.issue("caller", "auditor", tenant="globex"))
    assert (caller.tenant, caller.roles) == ("globex", {"caller", "auditor"})


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "sk-1", "Bearer a b", "Bearer sk-0123456789ab-x"]
)
async def test_no_key_or_no_bearer_is_unauthorized(door: Door, header: str | None) -> None:
    """Whatever is not a bearer key is refused alike."""
    with pytest.raises(Unauthorized):
        await door.ingress.admit(header, HERE, "caller")


async def test_a_right_id_with_a_wrong_secret_is_refused(door: Door) -> None:
    """The id alone opens nothing."""
    key = door.keys.issue()
    with pytest.raises(Unauthorized, match="not valid"):
        await door.enter(key[:-1] + ("A" if key[-1] != "A" else "B"))


async def test_a_role_that_the_key_lacks_is_forbidden(door: Door) -> None:
    """Authenticated is not authorised; `None` lets any role in."""
    key = door.keys.issue("caller")
    with pytest.raises(Forbidden, match="auditor"):
        await door.enter(key, "auditor")
    assert (await door.enter(key, None)).tenant == "acme"


async def test_the_usual_request_asks_no_database(door: Door) -> None:
    """A hundred requests within the cache's time cost one look-up."""
    key = door.keys.issue()
    for _ in range(100):
        await door.enter(key)
    assert door.keys.lookups == 1


async def test_a_revoked_key_is_out_within_the_cache_time(door: Door) -> None:
    """At most two seconds, as promised."""
    key = door.keys.issue()
    await door.enter(key)
    record = door.keys.records[keys.key_id(key) or ""]
    door.keys.records[record.id] = replace(record, revoked_at=door.clock.now())
    door.clock.seconds += 1.0
    with pytest.raises(Unauthorized):
        await door.enter(key)


async def test_a_remembered_key_still_expires_on_the_second(door: Door) -> None:
    """The cache does not lengthen a key's life."""
    door.ingress._cache_s = 1e9
    key = door.keys.issue(days=1)
    await door.enter(key)
    door.clock.seconds = 86400.0
    with pytest.raises(Unauthorized):
        await door.enter(key)


async def test_guessers_are_slowed_by_address_and_nobody_else(door: Door) -> None:
    """After five wrong keys an address waits; another one, and a key that was good there, do not."""
    good = door.keys.issue()
    await door.enter(good)
    for number in range(5):
        with pytest.raises(Unauthorized):
            await door.enter(f"sk-{number:012x}-{'a' * 43}")
    lookups = door.keys.lookups
    with pytest.raises(TooManyRequests) as refused:
        await door.enter(f"sk-{9:012x}-{'a' * 43}")
    assert refused.value.retry_after_s >= 1
    assert door.keys.lookups == lookups, "a throttled guess costs no look-up"
    door.clock.seconds += 1.5
    assert (await door.enter(good)).tenant == "acme"
    with pytest.raises(Unauthorized):
        await door.enter("sk-" + "b" * 43, address="192.0.2.2")
    door.clock.seconds += 120
    with pytest.raises(Unauthorized):
        await door.enter("sk-" + "b" * 43)


async def test_one_ipv6_customer_is_one_guesser(door: Door) -> None:
    """Addresses of one /64 count together."""
    for number in range(5):
        with pytest.raises(Unauthorized):
            await door.enter("sk-x", address=f"2001:db8::{number + 1:x}")
    with pytest.raises(TooManyRequests):
        await door.enter("sk-x", address="2001:db8::ffff")


async def test_a_tenant_cannot_exceed_its_rate_with_more_keys() -> None:
    """Limits hold for each key, and for the tenant over all its keys; other tenants do not notice."""
    door = Door(per_key=3, per_tenant=5)
    first, second = door.keys.issue(), door.keys.issue()
    for _ in range(3):
        await door.enter(first)
    with pytest.raises(TooManyRequests, match="this key"):
        await door.enter(first)
    for _ in range(2):
        await door.enter(second)
    with pytest.raises(TooManyRequests, match="this tenant"):
        await door.enter(second)
    assert (await door.enter(door.keys.issue(tenant="globex"))).tenant == "globex"


async def test_while_keys_cannot_be_looked_up_known_ones_stay_good_for_a_while(door: Door) -> None:
    """Degraded, not down: a known key for a minute, an unknown one is told why."""
    known, unknown = door.keys.issue(), door.keys.issue()
    await door.enter(known)
    door.keys.down = True
    door.clock.seconds = GRACE_S - 1
    assert (await door.enter(known)).tenant == "acme"
    with pytest.raises(StateUnavailable):
        await door.enter(unknown)
    door.clock.seconds = GRACE_S + 1
    with pytest.raises(StateUnavailable):
        await door.enter(known)


async def test_what_is_remembered_is_bounded_and_holds_no_key(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten first; keys are remembered by hash."""
    monkeypatch.setattr("services.ingress.REMEMBERED", 3)
    issued = [door.keys.issue() for _ in range(5)]
    for key in issued:
        await door.enter(key)
    assert len(door.ingress._known) == 3
    assert not any(key.encode() in known for key in issued for known in door.ingress._known)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", "a" * 32),
        (f"00-{'0' * 32}-{'b' * 16}-01", None),
        (f"00-{'a' * 32}-{'0' * 16}-01", None),
        (f"ff-{'a' * 32}-{'b' * 16}-01", None),
        (f"00-{'A' * 32}-{'b' * 16}-01", None),
        ("junk", None),
        (None, None),
    ],
)
def test_a_traceparent_is_taken_only_when_valid(header: str | None, found: str | None) -> None:
    """W3C Trace Context, 3.2."""
    assert trace_id(header) == found


class TokenDoor(Door):
    """A door that takes tokens too; `says` is what their verification gives or raises."""

    def __init__(self, says: Identity | Exception, per_key: int = 1000, failures: int = 5) -> None:
        super().__init__(per_key=per_key, failures=failures)
        self.says = says
        self.verified = 0
        self.cache_s = 60.0
        self.ingress = Ingress(self.keys, self.limits, 1.0, self.clock, self.clock.now, self)  # type: ignore[arg-type]  # a test double

    async def verify(self, token: str) -> Identity:
        self.verified += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


TOKEN = "eyJhbGciOiJub25lIn0.e30.c2ln"
PERSON = Identity(Caller("acme", "oidc_1", frozenset({"caller"})), START + timedelta(seconds=100))


async def test_a_token_is_verified_once_and_remembered_no_longer_than_it_is_good() -> None:
    """For the cache's time; and never past its own end."""
    door = TokenDoor(PERSON)
    for _ in range(100):
        assert (await door.enter(TOKEN)).tenant == "acme"
    assert door.verified == 1
    door.clock.seconds = 61
    await door.enter(TOKEN)
    assert door.verified == 2
    door.says = Unauthorized("it has expired")
    door.clock.seconds = 100
    with pytest.raises(Unauthorized):
        await door.enter(TOKEN)


async def test_api_keys_work_beside_tokens_and_tokens_only_where_they_are_set_up() -> None:
    """A key is never taken for a token; without an identity provider a token is a wrong key."""
    door = TokenDoor(PERSON)
    await door.enter(door.keys.issue())
    assert door.verified == 0
    with pytest.raises(Unauthorized, match="API key"):
        await Door().enter(TOKEN)


@pytest.mark.parametrize("refusal", [Unauthorized("no"), Forbidden("no role")])
async def test_wrong_tokens_are_throttled_like_wrong_keys(refusal: Exception) -> None:
    """The sixth is not even looked at."""
    door = TokenDoor(refusal)
    for number in range(5):
        with pytest.raises(type(refusal)):
            await door.enter(f"{TOKEN}{number}")
    with pytest.raises(TooManyRequests):
        await door.enter(TOKEN)
    assert door.verified == 5


async def test_while_tokens_cannot_be_checked_nobody_is_let_in_and_nobody_is_blamed() -> None:
    """A 503 with its reason; it does not count as guessing."""
    door = TokenDoor(IdentityUnavailable("down"))
    for _ in range(20):
        with pytest.raises(IdentityUnavailable):
            await door.enter(TOKEN)


async def test_rates_hold_for_a_person_over_all_their_tokens() -> None:
    door = TokenDoor(PERSON, per_key=3)
    for number in range(3):
        await door.enter(f"{TOKEN}{number}")
    with pytest.raises(TooManyRequests, match="this key"):
        await door.enter(TOKEN)
