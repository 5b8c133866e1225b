"""Figures of blocks on a ring: heights over time in shades of gray, probabilities of moves, and rates of success.

expected = {"expected heights": exact.forecast.heights}
figure = figures.plan(play.states, play.probabilities, expected, "eight moves")
figure.savefig("plan.png")

After Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), figures 4
to 6.
"""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ppi_robotics.plotting.theme import Page, color, style

FEW = 24  # stages up to which numbers are written into cells
MOVED = "#D55E00"
SHARES = ("-", "goal reached"), (":", "inference converged throughout")
PRECEDING, FOLLOWING = "moves to the location before, $l = -1$", "moves to the next location, $l = +1$"
STAYING = "no move, $l = 0$"


def plan(
    states: ArrayLike, probabilities: ArrayLike, others: dict[str, np.ndarray] | None = None, title: str = ""
) -> Figure:
    """A plan: its heights with the blocks that move, other heights, and the probabilities that it acted on.

    Args:
      states: heights (T + 1, n).
      probabilities: of the actions (T, 3 n) at the states passed.
      others: heights (T + 1, n) to be shown below the plan, by name.
      title: above all.

    Returns:
      The figure.
    """
    states = np.asarray(states)
    images = [("heights of the plan", states), *(others or {}).items()]
    with style():
        figure, axes = _panels(states.shape, len(images), title)
        _draw_heights(images, axes[: len(images)])
        _draw_moves(axes[0], states)
        _draw_probabilities(np.asarray(probabilities), axes[len(images) :])
    return figure


def beliefs(heights: ArrayLike, actions: ArrayLike, title: str = "") -> Figure:
    """Expected heights (T + 1, n) and probabilities of actions (T, 3 n) over time; returns the figure."""
    with style():
        figure, axes = _panels(np.shape(heights), 1, title)
        _draw_heights([("expected heights", heights)], axes[:1])
        _draw_probabilities(np.asarray(actions), axes[1:])
    return figure


def rates(cells: list[dict]) -> Figure:
    """Shares of plans that reach their goals, and seconds of CPU for a plan, over the number of blocks.

    Args:
      cells: dictionaries with n, m, method, label, goal_rate, converged_rate and cpu_seconds.

    Returns:
      The figure.
    """
    sizes, names = sorted({cell["n"] for cell in cells}), list(dict.fromkeys(cell["method"] for cell in cells))
    with style():
        figure = Page(max(3.2, 2.5 * len(sizes)) + 0.8, 4.8)
        axes = figure.subplots(2, len(sizes), sharex=True, sharey="row", squeeze=False)
        for column, n in enumerate(sizes):
            for index, name in enumerate(names):
                own = sorted((cell for cell in cells if (cell["n"], cell["method"]) == (n, name)), key=lambda c: c["m"])
                _draw_rates(axes[:, column], own, color(own[0]["label"], index), index)
            axes[0, column].set_title(f"{n} locations")
            axes[1, column].set_xlabel("blocks")
            axes[1, column].set_xticks(sorted({cell["m"] for cell in cells if cell["n"] == n}))
        axes[0, 0].set_ylim(-0.05, 1.05)
        axes[0, 0].set_ylabel("share of plans")
        axes[1, 0].set_yscale("log")
        axes[1, 0].set_ylabel("seconds of CPU a plan")
        shares = [Line2D([], [], color="0.4", linestyle=dash, label=text) for dash, text in SHARES]
        handles = [*axes[0, 0].get_legend_handles_labels()[0], *shares]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(sizes) + 1, 3))
    return figure


# -- parts -------------------------------------------------------------------------------------------------------------


def _panels(shape, images, title):
    """Axes over one time axis: images of heights, moves in two directions, and a strip for no move."""
    stages, n = shape
    width, row = min(max(6.4, 0.42 * stages), 11.0), max(0.9, 0.2 * n + 0.3)
    figure = Page(width, (images + 2) * row + 1.5)
    axes = figure.subplots(images + 3, 1, sharex=True, height_ratios=[n] * (images + 2) + [1])
    figure.suptitle(title, fontsize=9.5, x=0.01, ha="left")
    return figure, axes


def _draw_heights(images, axes):
    """Names and heights (T + 1, n) in shades of gray, black for all blocks, with numbers if there are few."""
    for ax, (name, heights) in zip(axes, images, strict=True):
        heights = np.asarray(heights, dtype=float)
        most = heights[0].sum()
        image = ax.imshow(heights.T, cmap="gray_r", vmin=0, vmax=most, aspect="auto", interpolation="nearest")
        if len(heights) <= FEW:
            _write_numbers(ax, heights, most)
        ax.set_title(name, loc="left")
        _locations(ax, heights.shape[1])
    ax.figure.colorbar(
        image, ax=list(axes), fraction=0.03, pad=0.01, ticks=MaxNLocator(4, integer=True), label="blocks"
    )


def _write_numbers(ax, heights, most):
    digits = 0 if (heights == np.round(heights)).all() else 2
    for (t, i), height in np.ndenumerate(heights):
        shade = "white" if height > 0.5 * most else "black"
        ax.text(t, i, f"{height:.{digits}f}", ha="center", va="center", color=shade, fontsize=7.5)


def _draw_probabilities(probabilities, axes):
    """Probabilities of actions (T, 3 n): of moves either way from every location, and of no move."""
    n = probabilities.shape[1] // 3
    cells = probabilities.reshape(-1, n, 3)
    panels = {PRECEDING: cells[:, :, 0], FOLLOWING: cells[:, :, 2], STAYING: cells[:, :, 1:2].sum(axis=1)}
    for ax, (words, part) in zip(axes, panels.items(), strict=True):
        rows, norm = part.shape[1], PowerNorm(0.5, 0.0, 1.0)
        where = 0.0, float(len(cells)), rows - 0.5, -0.5  # a move fills the time until the next stage
        image = ax.imshow(part.T, cmap="Blues", norm=norm, aspect="auto", interpolation="nearest", extent=where)
        ax.set_title(f"probability of {words}", loc="left")
        _locations(ax, rows)
    axes[-1].set_yticks([])
    axes[-1].set_ylabel("")
    axes[-1].set_xlabel("stage $t$")
    axes[-1].set_xlim(-0.5, len(cells) + 0.5)  # heights stand at stages
    ticks = (0, 0.1, 0.5, 1)
    axes[0].figure.colorbar(image, ax=list(axes), fraction=0.03, pad=0.01, ticks=ticks, label="probability")


def _locations(ax, n):
    ax.grid(visible=False)
    step = 1 if n <= 10 else n // 5
    ax.set_yticks(range(0, n, step), range(1, n + 1, step))
    ax.set_ylabel("location")
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    ax.spines[["top", "right"]].set_visible(True)


def _draw_moves(ax, states):
    """Lines from where a block was to where it is next; over the edge of the ring they leave the picture."""
    n, cut = states.shape[1], 0.25 if len(states) <= FEW else 0.0  # numbers stay legible
    share = np.array([cut, 1.0 - cut])
    for t, change in enumerate(np.diff(states, axis=0)):
        if change.any():
            source, target = int(change.argmin()), int(change.argmax())
            way = (target - source + n // 2) % n - n // 2
            for first in {source, target - way}:
                ax.plot(t + share, first + way * share, color=MOVED, linewidth=1.4, solid_capstyle="round")
    ax.set_ylim(n - 0.5, -0.5)


def _draw_rates(axes, cells, shade, index):
    """Lines of one method at one number of locations; smaller markers over larger ones of the same place."""
    blocks, lines = [cell["m"] for cell in cells], {"color": shade, "marker": "osD^v"[index % 5]}
    lines["markersize"] = max(9.0 - 2.0 * index, 3.0)
    axes[0].plot(blocks, [cell["goal_rate"] for cell in cells], label=cells[0]["label"], **lines)
    axes[0].plot(blocks, [cell["converged_rate"] for cell in cells], ":", fillstyle="none", **lines)
    axes[1].plot(blocks, [cell["cpu_seconds"] for cell in cells], **lines)
