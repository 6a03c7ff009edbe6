"""Which variant of a component answers this request: a salted hash of the sticky key, without any state.

The key's place in [0, 2^64) stays put for the life of a rollout and the candidate has the places below its
weight, so whoever is in at 5 % is in at 25 %. The salt is the rollout's own random id, with the component:
two components, or two rollouts after one another, divide the same people independently.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

PLACES = 1 << 64


class Variant(StrEnum):
    """The two sides of a rollout."""

    STABLE = "stable"
    CANDIDATE = "candidate"


class Why(StrEnum):
    """What decided: written to journal and receipt. Analysis counts `weight` alone.

    `unavailable`: this worker has no candidate that it may load; `cut_off`: it failed hard here.
    """

    WEIGHT = "weight"
    FORCED = "forced"
    KILLED = "killed"
    UNAVAILABLE = "unavailable"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True)
class Exposure:
    """What workers know of one rollout: who may get its candidate. `weight_percent` is in 0..100."""

    component: str
    rollout: str
    stable: str
    candidate: str
    weight_percent: float
    shadow: bool = False
    salted: Any = field(init=False, repr=False, compare=False)  # the hash with its salt in, to be copied
    places: int = field(init=False, repr=False, compare=False)  # how many of them are the candidate's

    def __post_init__(self) -> None:
        if not 0 <= self.weight_percent <= 100:  # NaN fails this too
            raise ValueError("weight_percent: expected 0 to 100")
        salt = f"{self.component}\x00{self.rollout}\x00".encode()
        object.__setattr__(self, "salted", blake2b(salt, digest_size=8, person=b"variant"))
        object.__setattr__(self, "places", round(self.weight_percent / 100 * PLACES))


class Assignment(NamedTuple):
    """The variant of one request. `version` is the stable's or the candidate's."""

    component: str
    rollout: str
    variant: Variant
    version: str
    why: Why


def sticky_key(tenant: str, subject: str | None, session: str | None, request_id: str) -> str:
    """Whose requests stay together: the subject, else the session, else nobody's but this request.

    Tenants are apart, and so are a subject and a session of the same name. The result may identify a
    person: hash it, and let it reach no sink.
    """
    kind, value = ("u", subject) if subject else ("s", session) if session else ("r", request_id)
    return f"{len(tenant)}:{tenant}{kind}{value}"


def place(exposure: Exposure, key: str) -> int:
    """Where the key stands, uniform in [0, 2^64): the same in every process, for this rollout only."""
    hashed = exposure.salted.copy()
    hashed.update(key.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest(), "big")


def assign(
    exposure: Exposure, key: str, *, killed: Collection[str] = (), forced: Variant | None = None
) -> Assignment:
    """The variant of this component for this key.

    `killed` names the components whose kill switch is on: they answer by stable, whatever else is asked.
    `forced` is an operator's wish; the caller has checked the role.
    """
    why = Why.WEIGHT
    if exposure.component in killed:
        variant, why = Variant.STABLE, Why.KILLED
    elif forced is not None:
        variant, why = forced, Why.FORCED
    elif place(exposure, key) < exposure.places:
        variant = Variant.CANDIDATE
    else:
        variant = Variant.STABLE
    version = exposure.candidate if variant is Variant.CANDIDATE else exposure.stable
    return Assignment(exposure.component, exposure.rollout, variant, version, why)
