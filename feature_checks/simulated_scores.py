"""Makes up the scores that devices would send, where data has none. They say of the label what `made` says.

For learning how to combine such a score and for showing it: what a figure owes to a made-up score says
nothing of real ones.
"""

from typing import TYPE_CHECKING

from feature_checks.data_spec import SimulatedScore

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


def simulated_scores(draw: "np.random.Generator", positive: "Bools", made: SimulatedScore) -> "Floats":
    """(n,) scores with four decimals, NaN where none is sent."""
    import numpy as np

    odds = draw.normal(np.where(positive, made.misuse, made.usual), made.spread)
    score = np.round(1 / (1 + np.exp(-odds)), 4)
    return np.where(draw.random(len(positive)) < made.share, score, np.nan)
