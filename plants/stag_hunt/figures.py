"""Figures of the stag hunt: the hunters' paths, and what changes with the temperature.

axes = figures.hunt_paths({"λ = 10": (hunt, path)})
axes[0].figure.savefig("hunt.png")
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ppi_robotics.plotting.theme import OTHER_COLORS, Page, style

if TYPE_CHECKING:
    from plants.stag_hunt.temperatures import TemperatureSweep

HUNTER, HARE, STAG = "#0072B2", "#5CBFA3", "#E88E4F"
SIZES = ("#0072B2", "#D55E00", *OTHER_COLORS)  # colors of sweeps
APART = 0.2  # radius of the circle on which hunters are drawn about the middle of a cell, in cells
CONFIDENCE = 1.96  # standard errors on either side of a 95 % interval
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CURVES = (  # name in `TemperatureSweep`, whether it is shown per hunter, title
    ("slope", True, "per hunter: d⟨R⟩/dλ = −dKL/d ln λ"),
    ("log_slope", True, "per hunter: d⟨R⟩/d ln λ"),
    ("energy_slope", True, "per hunter: d(−log Z)/dλ, dotted by BP"),
    ("met", False, "stags caught"),
    ("bp_sweeps", False, "sweeps of belief propagation (BP)"),
    ("bp_converged", False, "share of BP's runs that converged"),
)


def hunt_paths(hunts: dict[str, tuple], axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
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
            columns = 2 if len(hunts) == 4 else min(len(hunts), 3)
            rows = -(-len(hunts) // columns)
            panels = Page(0.4 + 3.6 * columns, 0.6 + 4.1 * rows).subplots(rows, columns, squeeze=False).ravel()
            for empty in panels[len(hunts) :]:
                empty.set_visible(False)
            return hunt_paths(hunts, panels[: len(hunts)])
    for ax, (title, (hunt, path)) in zip(axes, hunts.items(), strict=True):
        _draw_hunt(ax, hunt, np.asarray(path))
        at_hares, caught = hunt.caught(path[-1])
        ax.set_title(
            f"{title}: cost {hunt.cost(path[-1]):g}\n".replace("-", "\N{MINUS SIGN}")
            + f"{at_hares} of {len(path[-1])} hunters at hares, {caught} of {len(hunt.stags)} stags caught"
        )
    axes[0].figure.legend(handles=_legend(), loc="outside lower center", ncols=4, columnspacing=1.6, handletextpad=0.4)
    return axes


def phase_curves(sweeps: "dict[str, TemperatureSweep]", axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Derivatives of the mean cost and of -log Z, stags, sweeps and success of belief propagation, over temperature.

    Args:
      sweeps: names and `TemperatureSweep`s.
      axes: six; a new figure if None.

    Returns:
      The axes: means over the instances, with bands of 95 % intervals of the mean; dots are the largest means.
    """
    if axes is None:
        with style():
            return phase_curves(sweeps, Page(11.0, 6.2).subplots(2, 3).ravel())
    for ax, (name, each, title) in zip(axes, CURVES, strict=True):
        for shade, (label, sweep) in zip(itertools.cycle(SIZES), sweeps.items(), strict=False):
            share = 1.0 / sweep.walkers if each else 1.0
            mean = _band(ax, sweep.temperatures, share * getattr(sweep, name), shade, label)
            if name in ("slope", "log_slope"):
                ax.plot(sweep.temperatures[mean.argmax()], mean.max(), "o", color=shade, markersize=4.5)
            if name == "energy_slope":
                values = share * sweep.bp_energy_slope.mean(axis=0)
                ax.plot(sweep.temperatures, values, ":", color=shade, linewidth=2.2)
        ax.set_title(title)
        _logarithmic(ax, next(iter(sweeps.values())).temperatures)
        if name in ("energy_slope", "bp_sweeps"):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:g}")
        else:
            ax.set_ylim(bottom=0.0)
    axes[4].set_ylim(bottom=1.0)
    axes[5].set_ylim(0.0, 1.05)
    instances = len(next(iter(sweeps.values())).mean)
    axes[3].legend(title=f"means of {instances} instances,\n95 % intervals", alignment="left")
    return axes


def _band(ax, temperatures, values, shade, label):
    """Draw the mean of values (I, L) over the instances with its interval; returns the mean."""
    mean, half = values.mean(axis=0), CONFIDENCE * values.std(axis=0, ddof=1) / len(values) ** 0.5
    low, high = np.maximum(mean - half, values.min(axis=0)), np.minimum(mean + half, values.max(axis=0))
    ax.plot(temperatures, mean, color=shade, label=label)
    ax.fill_between(temperatures, low, high, color=shade, alpha=0.15, linewidth=0)
    return mean


def _draw_hunt(ax, hunt, path):
    """Grid, animals and paths."""
    L, M = hunt.side, path.shape[1]
    scale = min(1.0, 11.0 / L)  # of markers, which are smaller on large grids
    angle = 2.0 * np.pi * np.arange(M) / M
    apart = APART * np.stack([np.sin(angle), np.cos(angle)], axis=1) * (M > 1)
    lines = np.arange(L + 1) - 0.5
    ax.vlines(lines, -0.5, L - 0.5, color="0.88", linewidth=0.6, zorder=0)
    ax.hlines(lines, -0.5, L - 0.5, color="0.88", linewidth=0.6, zorder=0)
    for cells, shade in ((hunt.hares, HARE), (hunt.stags, STAG)):
        squares = [Rectangle((cell % L - 0.47, cell // L - 0.47), 0.94, 0.94) for cell in np.asarray(cells).tolist()]
        ax.add_collection(PatchCollection(squares, facecolor=shade, linewidth=0, zorder=1))
    row, column = np.divmod(path, L)
    points = np.stack([column, row], axis=-1) + apart  # (stages + 1, M, 2)
    ax.add_collection(LineCollection(points.swapaxes(0, 1), colors=HUNTER, linewidths=1.0 + 0.7 * scale, zorder=2))
    dot = {"linestyle": "none", "color": HUNTER, "markersize": 3.5 + 3.0 * scale, "markeredgewidth": 1.2, "zorder": 3}
    ax.plot(*points[0].T, "o", markerfacecolor="white", **dot)
    ax.plot(*points[-1].T, "o", **dot)
    ax.set(xlim=(-0.5, L - 0.5), ylim=(L - 0.5, -0.5), aspect="equal")
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.6")


def _legend():
    """What the marks of `hunt_paths` mean."""
    plain = {"linestyle": "none", "markersize": 7.0}
    return [
        Line2D([], [], marker="o", color=HUNTER, markerfacecolor="white", label="hunter's start", **plain),
        Line2D([], [], marker="o", color=HUNTER, linewidth=1.6, markersize=6.5, label="path and end"),
        Line2D([], [], marker="s", color=HARE, label="hare", **plain),
        Line2D([], [], marker="s", color=STAG, label="stag", **plain),
    ]


def _logarithmic(ax, temperatures):
    """The axis of temperatures."""
    ax.set_xscale("log")
    ax.set_xlim(temperatures[0], temperatures[-1])
    shown = [tick for tick in TICKS if temperatures[0] <= tick <= temperatures[-1]]
    ax.set_xticks(shown, [f"{tick:g}" for tick in shown])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("temperature λ")
