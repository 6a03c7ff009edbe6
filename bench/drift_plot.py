"""Draws what `bench.drift` sees: how far each feature has moved, by the share of messages that are new."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw_plot(
    shares: Sequence[float], sizes: Mapping[str, Sequence[float]], drifted: Sequence[bool], to: Path
) -> None:
    """An SVG: one line for each feature, effect size over its bound; `drifted` says at which shares there is
    an alarm. The same figures give the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "switchyard"}):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.add_subplot()
        percent = [100 * share for share in shares]
        for name, of in sizes.items():
            axes.plot(percent, of, marker="o", markersize=3, linewidth=1.2, label=name)
        axes.axhline(1.0, color="black", linestyle="--", linewidth=1)
        axes.annotate("bound", (percent[-1], 1.0), ha="right", va="bottom", fontsize=8)
        for share, alarm in zip(percent, drifted, strict=True):
            said = "alarm" if alarm else "quiet"
            axes.annotate(
                said, (share, 0.98), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8
            )
        axes.set_xlabel("messages of intents that the model was not trained on, % of a window of 500")
        axes.set_ylabel("effect size / its bound")
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        to.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasSVG(figure).print_svg(
            to, metadata={"Date": None, "Creator": "python -m bench.drift --plot"}
        )
