"""Figures of finite problems: values over a map with the policy as arrows, and errors of iterations and learning.

ax = plotting.tables.value_map(world, solution.value, solution.policy)
ax.figure.savefig("value.png")
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ppi_robotics.plotting.theme import color, style

MOST_ARROWS = 2500  # states up to which the policy is drawn
SHADES = ("Q", "value iteration", "DPP")  # which take a further color each, in every figure
CONFIDENCE = 1.96  # standard errors on either side of a 95 % interval


def value_map(world, value, policy, ax=None, title="expected cost to the target"):
    """Values over the cells of a grid world; on maps of moderate size moves as arrows, as opaque as they are likely.

    Args:
      world: with `picture`, `position`, `moves`, `cells` and `mdp`, such as plants.GridWorld.
      value: (S,).
      policy: probabilities (S, A).
      ax: axes; a new figure if None.
      title: above them.

    Returns:
      The axes.
    """
    rows, columns = world.cells.shape
    if ax is None:
        with style():
            width = min(max(4.0, 0.42 * columns), 10.0)
            return value_map(world, value, policy, _axes(width, max(0.85 * width * rows / columns, 1.5) + 0.3), title)
    image = ax.imshow(world.picture(value), cmap="viridis_r", interpolation="nearest")
    ax.set_facecolor("0.25")
    acting = ~world.mdp.absorbing
    if len(value) <= MOST_ARROWS:
        row, column = world.position[acting].T
        for (down, right), share in zip(world.moves, policy[acting].T, strict=True):
            arrows = {"angles": "xy", "scale_units": "xy", "scale": 2.3, "width": 0.004, "headwidth": 5.0}
            reach = np.ones(len(row))
            ax.quiver(column, row, right * reach, down * reach, color="white", alpha=np.minimum(share, 1.0), **arrows)
    row, column = world.position[~acting].T
    ax.plot(column, row, "*", color="#D55E00", markersize=11, linestyle="none")
    ax.grid(visible=False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title)
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    return ax


def learning_curves(results, ax=None):
    """Error of learned values over transitions: mean of the trials, with bands of 95 % intervals of the mean.

    Args:
      results: names and `Learning`s; those of the same beginning have the same color, online behavior is dashed.
      ax: axes; a new figure if None.

    Returns:
      The axes.
    """
    if ax is None:
        with style():
            return learning_curves(results, _axes(6.4, 4.2))
    for name, result in results.items():
        shade, half = _shade(name), CONFIDENCE * result.standard_error
        dash = "--" if result.behavior == "online" else "-"
        ax.plot(result.transitions, result.mean, dash, color=shade, label=name)
        if np.isfinite(half).all():
            low = np.maximum(result.mean - half, 0.1 * result.mean)  # a logarithmic axis shows nothing below 0
            ax.fill_between(result.transitions, low, result.mean + half, color=shade, alpha=0.15, linewidth=0)
    trials = {len(result.error) for result in results.values()}
    ax.set_title(f"error of learned values, {'/'.join(map(str, sorted(trials)))} trials")
    return _errors(ax, "transitions")


def iteration_errors(results, ax=None):
    """Error over iterations with the model known.

    Args:
      results: names and `Iterations` with errors.
      ax: axes; a new figure if None.

    Returns:
      The axes.
    """
    if ax is None:
        with style():
            return iteration_errors(results, _axes(6.4, 4.2))
    for name, result in results.items():
        ax.plot(np.arange(1, 1 + len(result.error)), result.error, color=_shade(name), label=name)
    ax.set_title("error of values, model known")
    return _errors(ax, "iterations")


def _shade(name):
    """Color of a method by the beginning of its name."""
    return color(name, next((i for i, start in enumerate(SHADES) if name.startswith(start)), len(SHADES)))


def _errors(ax, name):
    ax.set_yscale("log")
    ax.set_xlabel(name)
    ax.set_ylabel("largest error relative to the largest value")
    ax.legend()
    return ax


def _axes(width, height):
    """Axes of a figure of its own."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()
