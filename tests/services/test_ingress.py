"""The door: keys in and out, remembered, throttled, and what happens when keys cannot be looked up."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services import keys
from services.api.limits import RateLimits
from services.errors import Forbidden, StateUnavailable, TooManyRequests, Unauthorized
from services.ingress import GRACE_S, Ingress, trace_id
from services.keys import KeyRecord
from services.state.rate_counters import LoopCounters

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
        limits = RateLimits(LoopCounters(self.clock), per_key, per_tenant, failures)
        self.ingress = Ingress(self.keys, limits, 1.0, self.clock, self.clock.now)

    def enter(self, key: str, role: str | None = "caller", address: str = HERE):  # type: ignore[no-untyped-def]  # a test double
        return self.ingress.admit(f"Bearer {key}", address, role)


@pytest.fixture
def door() -> Door:
    return Door()


def test_a_good_key_is_its_tenant_with_its_roles(door: Door) -> None:
    """The caller is what the key says, not what the request says."""
    caller = door.enter(door.keys.issue("caller", "auditor", tenant="globex"))
    assert (caller.tenant, caller.roles) == ("globex", {"caller", "auditor"})


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "sk-1", "Bearer a b", "Bearer sk-0123456789ab-x"]
)
def test_no_key_or_no_bearer_is_unauthorized(door: Door, header: str | None) -> None:
    """Whatever is not a bearer key is refused alike."""
    with pytest.raises(Unauthorized):
        door.ingress.admit(header, HERE, "caller")


def test_a_right_id_with_a_wrong_secret_is_refused(door: Door) -> None:
    """The id alone opens nothing."""
    key = door.keys.issue()
    with pytest.raises(Unauthorized, match="not valid"):
        door.enter(key[:-1] + ("A" if key[-1] != "A" else "B"))


def test_a_role_that_the_key_lacks_is_forbidden(door: Door) -> None:
    """Authenticated is not authorised; `None` lets any role in."""
    key = door.keys.issue("caller")
    with pytest.raises(Forbidden, match="auditor"):
        door.enter(key, "auditor")
    assert door.enter(key, None).tenant == "acme"


def test_the_usual_request_asks_no_database(door: Door) -> None:
    """A hundred requests within the cache's time cost one look-up."""
    key = door.keys.issue()
    for _ in range(100):
        door.enter(key)
    assert door.keys.lookups == 1


def test_a_revoked_key_is_out_within_the_cache_time(door: Door) -> None:
    """At most two seconds, as promised."""
    key = door.keys.issue()
    door.enter(key)
    record = door.keys.records[keys.key_id(key) or ""]
    door.keys.records[record.id] = replace(record, revoked_at=door.clock.now())
    door.clock.seconds += 1.0
    with pytest.raises(Unauthorized):
        door.enter(key)


def test_a_remembered_key_still_expires_on_the_second(door: Door) -> None:
    """The cache does not lengthen a key's life."""
    door.ingress._cache_s = 1e9
    key = door.keys.issue(days=1)
    door.enter(key)
    door.clock.seconds = 86400.0
    with pytest.raises(Unauthorized):
        door.enter(key)


def test_guessers_are_slowed_by_address_and_nobody_else(door: Door) -> None:
    """After five wrong keys an address waits; another one, and a key that was good there, do not."""
    good = door.keys.issue()
    door.enter(good)
    for number in range(5):
        with pytest.raises(Unauthorized):
            door.enter(f"sk-{number:012x}-{'a' * 43}")
    lookups = door.keys.lookups
    with pytest.raises(TooManyRequests) as refused:
        door.enter(f"sk-{9:012x}-{'a' * 43}")
    assert refused.value.retry_after_s >= 1
    assert door.keys.lookups == lookups, "a throttled guess costs no look-up"
    door.clock.seconds += 1.5
    assert door.enter(good).tenant == "acme"
    with pytest.raises(Unauthorized):
        door.enter("sk-" + "b" * 43, address="192.0.2.2")
    door.clock.seconds += 120
    with pytest.raises(Unauthorized):
        door.enter("sk-" + "b" * 43)


def test_one_ipv6_customer_is_one_guesser(door: Door) -> None:
    """Addresses of one /64 count together."""
    for number in range(5):
        with pytest.raises(Unauthorized):
            door.enter("sk-x", address=f"2001:db8::{number + 1:x}")
    with pytest.raises(TooManyRequests):
        door.enter("sk-x", address="2001:db8::ffff")


def test_a_tenant_cannot_exceed_its_rate_with_more_keys() -> None:
    """Limits hold for each key, and for the tenant over all its keys; other tenants do not notice."""
    door = Door(per_key=3, per_tenant=5)
    first, second = door.keys.issue(), door.keys.issue()
    for _ in range(3):
        door.enter(first)
    with pytest.raises(TooManyRequests, match="this key"):
        door.enter(first)
    for _ in range(2):
        door.enter(second)
    with pytest.raises(TooManyRequests, match="this tenant"):
        door.enter(second)
    assert door.enter(door.keys.issue(tenant="globex")).tenant == "globex"


def test_while_keys_cannot_be_looked_up_known_ones_stay_good_for_a_while(door: Door) -> None:
    """Degraded, not down: a known key for a minute, an unknown one is told why."""
    known, unknown = door.keys.issue(), door.keys.issue()
    door.enter(known)
    door.keys.down = True
    door.clock.seconds = GRACE_S - 1
    assert door.enter(known).tenant == "acme"
    with pytest.raises(StateUnavailable):
        door.enter(unknown)
    door.clock.seconds = GRACE_S + 1
    with pytest.raises(StateUnavailable):
        door.enter(known)


def test_what_is_remembered_is_bounded_and_holds_no_key(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first; keys are remembered by hash."""
    monkeypatch.setattr("services.ingress.REMEMBERED", 3)
    issued = [door.keys.issue() for _ in range(5)]
    for key in issued:
        door.enter(key)
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
