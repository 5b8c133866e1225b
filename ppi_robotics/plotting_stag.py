"""Figures of the stag hunt: the hunters' paths, and what changes with the temperature.

axes = plotting_stag.hunt_paths({"λ = 10": (hunt, path)})
axes[0].figure.savefig("hunt.png")
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ppi_robotics.plotting import OTHER_COLORS, color, style

HUNTER, HARE, STAG = "#0072B2", "#009E73", "#D55E00"
APART = 0.2  # radius of the circle on which hunters are drawn about the middle of a cell, in cells
CONFIDENCE = 1.96  # standard errors on either side of a 95 % interval
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CURVES = (  # name in `TemperatureSweep`, what it is divided by, title
    ("slope", "walkers", "per hunter: d⟨R⟩/dλ = −dKL/d ln λ"),
    ("log_slope", "walkers", "per hunter: d⟨R⟩/d ln λ"),
    ("bp_sweeps", None, "sweeps of belief propagation"),
    ("bp_converged", None, "share of converged runs"),
)


def hunt_paths(hunts, axes=None):
    """Paths of the hunters over the grid, one panel a hunt.

    Args:
      hunts: titles, and pairs of a hunt (with side, hares, stags, caught and cost, such as plants.StagHunt) and cells
        (stages + 1, M) of the hunters.
      axes: one for every hunt; a new figure if None.

    Returns:
      The axes.
    """
    if axes is None:
        with style():
            columns = min(len(hunts), 3)
            rows = -(-len(hunts) // columns)
            figure = Figure(figsize=(0.4 + 3.6 * columns, 0.6 + 3.9 * rows), dpi=120, layout="constrained")
            FigureCanvasAgg(figure)
            panels = figure.subplots(rows, columns, squeeze=False).ravel()
            for empty in panels[len(hunts) :]:
                empty.set_visible(False)
            return hunt_paths(hunts, panels[: len(hunts)])
    for ax, (title, (hunt, path)) in zip(axes, hunts.items(), strict=True):
        _draw_hunt(ax, hunt, np.asarray(path))
        at_hares, caught = hunt.caught(path[-1])
        ax.set_title(
            f"{title}: cost {hunt.cost(path[-1]):g}\n"
            f"{at_hares} of {len(path[-1])} hunters at hares, {caught} of {len(hunt.stags)} stags caught"
        )
    axes[0].figure.legend(handles=_legend(), loc="outside lower center", ncols=4, columnspacing=1.6, handletextpad=0.4)
    return axes


def phase_curves(sweeps, axes=None):
    """Derivatives of the mean cost, and sweeps and success of belief propagation, over the temperature.

    Args:
      sweeps: names and `TemperatureSweep`s.
      axes: four; a new figure if None.

    Returns:
      The axes: means over the instances, with bands of 95 % intervals of the mean.
    """
    if axes is None:
        with style():
            figure = Figure(figsize=(8.4, 6.2), dpi=120, layout="constrained")
            FigureCanvasAgg(figure)
            return phase_curves(sweeps, figure.subplots(2, 2).ravel())
    for ax, (name, unit, title) in zip(axes, CURVES, strict=True):
        for number, (label, sweep) in enumerate(sweeps.items()):
            values = getattr(sweep, name) / (getattr(sweep, unit) if unit else 1.0)
            mean, half = values.mean(axis=0), CONFIDENCE * values.std(axis=0, ddof=1) / len(values) ** 0.5
            shade = color("", (1 + number) % len(OTHER_COLORS)) if number > 1 else (HUNTER, STAG)[number]
            ax.plot(sweep.temperatures, mean, color=shade, label=label)
            low, high = mean - half, mean + half
            if name == "bp_sweeps":
                low = np.maximum(low, 1.0)
            if name == "bp_converged":
                low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
            ax.fill_between(sweep.temperatures, low, high, color=shade, alpha=0.15, linewidth=0)
            if unit:
                at = mean.argmax()
                ax.plot(sweep.temperatures[at], mean[at], "o", color=shade, markersize=4.5)
        ax.set_title(title)
        _logarithmic(ax, next(iter(sweeps.values())).temperatures)
    axes[0].legend(title=f"{len(next(iter(sweeps.values())).mean)} instances")
    axes[2].set_yscale("log")
    axes[2].set_ylim(bottom=1.0)
    axes[3].set_ylim(-0.03, 1.06)
    for ax in axes[:2]:
        ax.set_ylim(bottom=0.0)
    return axes


def _draw_hunt(ax, hunt, path):
    """Grid, animals and paths."""
    L, M = hunt.side, path.shape[1]
    scale = min(1.0, 11.0 / L)  # of markers, which are smaller on large grids
    angle = 2.0 * np.pi * np.arange(M) / M
    apart = APART * np.stack([np.sin(angle), np.cos(angle)], axis=1) * (M > 1)
    lines = np.arange(L + 1) - 0.5
    ax.vlines(lines, -0.5, L - 0.5, color="0.88", linewidth=0.6, zorder=0)
    ax.hlines(lines, -0.5, L - 0.5, color="0.88", linewidth=0.6, zorder=0)
    for cells, marker, shade, size in ((hunt.hares, "D", HARE, 8.0), (hunt.stags, "s", STAG, 13.0)):
        row, column = np.divmod(np.asarray(cells), L)
        ax.plot(column, row, marker, color=shade, alpha=0.75, markersize=size * scale, markeredgewidth=0, zorder=1)
    row, column = np.divmod(path, L)
    points = np.stack([column, row], axis=-1) + apart  # (stages + 1, M, 2)
    ax.add_collection(LineCollection(points.swapaxes(0, 1), colors=HUNTER, linewidths=1.0 + 0.7 * scale, zorder=2))
    dot = {"linestyle": "none", "color": HUNTER, "markersize": 3.5 + 3.0 * scale, "markeredgewidth": 1.2, "zorder": 3}
    ax.plot(*points[0].T, "o", markerfacecolor="white", **dot)
    ax.plot(*points[-1].T, "o", **dot)
    ax.set_xlim(-0.5, L - 0.5)
    ax.set_ylim(L - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.grid(visible=False)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("0.6")


def _legend():
    """What the marks of `hunt_paths` mean."""
    plain = {"linestyle": "none", "markersize": 6.5}
    return [
        Line2D([], [], marker="o", color=HUNTER, markerfacecolor="white", label="hunter's start", **plain),
        Line2D([], [], marker="o", color=HUNTER, linewidth=1.6, markersize=6.5, label="path and end"),
        Line2D([], [], marker="D", color=HARE, alpha=0.75, label="hare", **plain),
        Line2D([], [], marker="s", color=STAG, alpha=0.75, label="stag", **plain),
    ]


def _logarithmic(ax, temperatures):
    """The axis of temperatures."""
    ax.set_xscale("log")
    ax.set_xlim(temperatures[0], temperatures[-1])
    shown = [tick for tick in TICKS if temperatures[0] <= tick <= temperatures[-1]]
    ax.set_xticks(shown, [f"{tick:g}" for tick in shown])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("temperature λ")
