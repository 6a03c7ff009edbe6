"""Makes a sample of events from a recipe: actors who pay at places near them, with three patterns of misuse.

The model is that of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi 2022, chapter 3,
"Transaction data simulator"), written anew: actors and places lie on a square, an actor uses places within
reach, in Poisson numbers a day, for normally distributed amounts. Misuse: any amount above a bound; every
event at a compromised place for some days; some events of a compromised actor, with a multiplied amount.
Equal recipes give equal rows.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from feature_checks.data_spec import SimulatedScore
from feature_checks.errors import DatasetError, UseCaseError
from feature_checks.simulated_scores import simulated_scores
from feature_checks.strict_model import Strict
from feature_checks.strict_yaml import explain, read_mapping

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SIDE = 100.0  # of the square on which actors and places lie
_DAY_S = 86_400


class Columns(Strict):
    """What the recipe's quantities are called in the use case. `device` is an actor's own score, optional."""

    id: str
    time: str
    actor: str
    place: str
    amount: str
    label: str
    device: str | None = None


class Actors(Strict):
    """Between which bounds (uniform) actors differ: events a day, and their mean amount."""

    count: int = Field(ge=1, le=100_000)
    events_a_day: tuple[float, float] = Field(strict=False)
    amount: tuple[float, float] = Field(strict=False)


class Places(Strict):
    count: int = Field(ge=1, le=100_000)
    reach: float = Field(gt=0)  # of an actor, where the square has a side of 100


class Patterns(Strict):
    """Misuse. `*_a_day` new ones are compromised each day, and stay so for `*_days`."""

    above: float | None = Field(default=None, gt=0)
    places_a_day: float = Field(default=0, ge=0)
    places_days: int = Field(default=28, ge=1)
    actors_a_day: float = Field(default=0, ge=0)
    actors_days: int = Field(default=14, ge=1)
    actors_share: float = Field(default=1 / 3, ge=0, le=1)  # of a compromised actor's events
    actors_times: float = Field(default=5.0, gt=0)


class Recipe(Strict):
    """A whole sample. `start` is its first day, UTC."""

    seed: int = Field(ge=0)
    start: date = Field(strict=False)
    days: int = Field(ge=1, le=3660)
    columns: Columns
    usual: str
    misuse: str
    actors: Actors
    places: Places
    patterns: Patterns = Patterns()
    device_share: float = Field(default=0.0, ge=0, le=1)  # of events that come with a device's score


def read_recipe(file: Path) -> Recipe:
    """A recipe from YAML. Raises `DatasetError` that names the file and the key."""
    try:
        return Recipe(**read_mapping(file, file.name))
    except UseCaseError as error:
        raise DatasetError(str(error)) from error
    except ValidationError as error:
        raise DatasetError(f"{file.name}: {explain(error, Recipe)}") from None


def make_rows(recipe: Recipe) -> "pd.DataFrame":
    """The events in order of time, with the columns that the recipe names. Indexed by `row`, from 1."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(recipe.seed)
    actors, places = recipe.actors, recipe.places
    near = _reachable(draw, actors.count, places.count, places.reach)
    rate = draw.uniform(*actors.events_a_day, actors.count)
    mean = draw.uniform(*actors.amount, actors.count)
    number = draw.poisson(rate, (recipe.days, actors.count))
    day, actor = (np.repeat(axis.ravel(), number.ravel()) for axis in np.indices(number.shape))
    # Around noon, within the day: most people pay by day.
    second = np.clip(draw.normal(_DAY_S / 2, 20_000, len(day)), 0, _DAY_S - 1).astype(np.int64)
    place = np.array(
        [near[a][int(u * len(near[a]))] for a, u in zip(actor, draw.random(len(day)), strict=True)]
    )
    amount: Any = draw.normal(mean[actor], mean[actor] / 2)
    amount = np.round(np.where(amount < 0, draw.uniform(0, 2 * mean[actor]), amount), 2)
    amount, wrong = _misuse(draw, recipe, day, actor, place, amount)
    order = np.lexsort((np.arange(len(day)), second, day))
    columns = recipe.columns
    at = np.datetime64(recipe.start, "us") + (day * _DAY_S + second).astype("timedelta64[s]")
    found: dict[str, Any] = {
        columns.id: np.arange(1, len(day) + 1),
        columns.time: at[order],
        columns.actor: actor[order] + 1,
        columns.place: place[order] + 1,
        columns.amount: amount[order],
    }
    if columns.device and recipe.device_share:
        made = SimulatedScore(seed=recipe.seed, share=recipe.device_share)
        scores = simulated_scores(draw, wrong[order], made).tolist()
        found[columns.device] = np.array([s if s == s else None for s in scores], dtype=object)
    found[columns.label] = np.where(wrong[order], recipe.misuse, recipe.usual)
    return pd.DataFrame(found, index=pd.RangeIndex(1, len(day) + 1, name="row"))


def _reachable(draw: "np.random.Generator", actors: int, places: int, reach: float) -> "list[Any]":
    """Of each actor the places within reach; the nearest one where there is none."""
    import numpy as np

    home, shop = draw.uniform(0, _SIDE, (actors, 2)), draw.uniform(0, _SIDE, (places, 2))
    found = []
    for point in home:
        distance = np.hypot(*(shop - point).T)
        inside = np.flatnonzero(distance < reach)
        found.append(inside if len(inside) else np.array([int(distance.argmin())]))
    return found


def _misuse(
    draw: "np.random.Generator", recipe: Recipe, day: Any, actor: Any, place: Any, amount: Any
) -> "tuple[Any, Any]":
    """(amounts, which events are misuse)."""
    import numpy as np

    patterns = recipe.patterns
    wrong = np.zeros(len(day), bool)
    held = _compromised(draw, recipe.days, recipe.places.count, patterns.places_a_day, patterns.places_days)
    wrong |= held[day, place]
    held = _compromised(draw, recipe.days, recipe.actors.count, patterns.actors_a_day, patterns.actors_days)
    stolen = held[day, actor] & (draw.random(len(day)) < patterns.actors_share)
    amount = np.where(stolen, np.round(amount * patterns.actors_times, 2), amount)
    wrong |= stolen
    if patterns.above is not None:
        wrong |= amount > patterns.above
    return amount, wrong


def _compromised(draw: "np.random.Generator", days: int, count: int, a_day: float, lasting: int) -> Any:
    """(days, count): is it compromised on that day?"""
    import numpy as np

    held = np.zeros((days, count), bool)
    for day, number in enumerate(draw.poisson(a_day, days)):
        for one in draw.choice(count, min(int(number), count), replace=False):
            held[day : day + lasting, one] = True
    return held
