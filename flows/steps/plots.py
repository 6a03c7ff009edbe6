"""The two pictures of a training run: which labels are confused, and what each threshold would cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.steps.scores import Accepted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure

# No creation date and no version in the file: equal data gives equal bytes.
_METADATA: dict[str, Any] = {"Software": None}


def confusion_plot(
    truth: "npt.NDArray[np.int64]", guess: "npt.NDArray[np.int64]", labels: Sequence[str], to: Path
) -> None:
    """Rows are true labels, columns predicted ones, each row a share of its total; mistakes are marked."""
    import numpy as np
    from matplotlib.colors import PowerNorm

    shown = [index for index in range(len(labels)) if (truth == index).any() or (guess == index).any()]
    place = {label: at for at, label in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown)))
    for actual, said in zip(truth.tolist(), guess.tolist(), strict=True):
        counts[place[actual], place[said]] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(18.0, max(6.0, 2.6 + 0.19 * len(shown)))
    figure = _figure(side, side)
    axes = figure.add_subplot()
    # A mistake of 5 % must be as visible as a hit of 95 %.
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    size = 6.5 if len(shown) > 40 else 8
    names = [labels[index].replace("_", " ") for index in shown]
    axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(shown)), names, fontsize=size)
    for row, column in zip(*np.nonzero(counts), strict=True):
        if row != column:
            axes.text(
                column,
                row,
                f"{counts[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=size - 0.5,
                color="darkred",
            )
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    wrong = int((truth != guess).sum())
    axes.set_title(f"{len(truth) - wrong:,} of {len(truth):,} right; red: number of mistakes", fontsize=10)
    _save(figure, to)


def coverage_plot(
    curve: Sequence[tuple[float, float, float]], local: Accepted, threshold: float, max_error: float, to: Path
) -> None:
    """Share answered against share of those that are wrong, with the calibrated threshold and the bound."""
    figure = _figure(6.4, 4.2)
    axes = figure.add_subplot()
    axes.plot([c for _, c, _ in curve], [e for _, _, e in curve], color="tab:blue", label="test rows")
    axes.axhline(max_error, color="tab:red", linestyle="--", linewidth=1, label=f"promised: {max_error:.1%}")
    if local.coverage:
        said = f"threshold {threshold:.3f}: {local.coverage:.1%} answered, {local.error:.1%} wrong"
        axes.plot([local.coverage], [local.error], "o", color="black", label=said)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(2 * max_error, *(e for _, _, e in curve), 0.01) if curve else 1)
    axes.set_xlabel("share of rows answered locally")
    axes.set_ylabel("wrong share of those")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    _save(figure, to)


def deferral_plot(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], max_error: float, to: Path
) -> None:
    """An SVG of both rules on test rows: the share answered against the wrong share of those."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "switchyard"}):
        figure = _figure(6.4, 4.0)
        axes = figure.add_subplot()
        for name, curve in curves.items():
            axes.plot([c for _, c, _ in curve], [e for _, _, e in curve], linewidth=1.3, label=name)
        axes.axhline(
            max_error, color="black", linestyle="--", linewidth=1, label=f"promised: {max_error:.1%}"
        )
        axes.set_xlim(0.5, 1)
        axes.set_ylim(0, 3.5 * max_error)
        axes.set_xlabel("share of test rows answered locally")
        axes.set_ylabel("wrong share of those")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        FigureCanvasSVG(figure).print_svg(to, metadata={"Date": None, "Creator": "switchyard stage defer"})


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: no global state, no display.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: "Figure", to: Path) -> None:
    figure.savefig(to, dpi=110, metadata=_METADATA)
