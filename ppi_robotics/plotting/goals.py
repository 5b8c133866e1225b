"""The figure of a policy for several goals in a plane of two states.

axes = plotting.goals.commitment(plant, mixture, mixture.rollout(problem, samples=240), goals)
axes[0].figure.savefig("goals.png")
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_count
from ppi_robotics.composition.mixture import MixturePolicy
from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting.theme import SHADES, Page, Panels, style
from ppi_robotics.problem import Plant
from ppi_robotics.rollouts import Rollouts

PALE = 0.55  # of the full colors, so that dots stand out from the plane
PIXELS = 300


def commitment(
    plant: Plant,
    mixture: MixturePolicy,
    rollouts: Rollouts,
    goals: ArrayLike,
    t: int | None = None,
    entries: tuple[int, int] = (0, 1),
    axes: Sequence[Axes] | None = None,
) -> Panels:
    """Paths in the color of the goal that they end nearest to; the share of each goal over the plane at one stage.

    Shares are those at states whose other entries are 0; dots are the states of the paths at that stage.

    Args:
      plant: names, units and the length of a stage.
      mixture: `MixturePolicy` of n components.
      rollouts: `Rollouts` of it.
      goals: (n, 2), in the order of the components.
      t: the stage; T / 2 by default.
      entries: the two entries of the state that make the plane.
      axes: two axes; a new figure if None.

    Returns:
      The two axes.

    Raises:
      ProblemError: if the goals do not match the components, or a number is out of range.
    """
    if axes is None:
        with style():
            axes = Page(9.6, 5.1).subplots(1, 2, sharex=True, sharey=True)
            return commitment(plant, mixture, rollouts, goals, t, entries, axes)
    goals, t = as_finite(goals, "goals", (len(mixture.weights), 2)), mixture.horizon // 2 if t is None else t
    check_count(t, "t", 0, mixture.horizon - 1)
    if len(goals) > len(SHADES) or len(axes) != 2:
        raise ProblemError(f"{len(goals)} goals on {len(axes)} axes; give up to {len(SHADES)} goals and 2 axes")
    paths = rollouts.x[..., list(entries)]
    window = _window(paths, goals)
    axes[1].imshow(_tint(mixture, t, entries, window), origin="lower", extent=window.ravel(), zorder=0.9)
    reached = np.linalg.norm(paths[:, -1, None] - goals, axis=2).argmin(axis=1)
    for i, (goal, weight, shade) in enumerate(zip(goals, mixture.weights, SHADES, strict=False)):
        ends = paths[reached == i]
        axes[0].plot(*ends.T, color=shade, linewidth=0.6, alpha=0.45)
        axes[1].scatter(*ends[:, t].T, s=14, color=shade, edgecolor="w", linewidth=0.4)
        star = {"marker": "*", "color": shade, "markeredgecolor": "k", "markersize": 14, "linestyle": ""}
        axes[0].plot(*goal, **star, label=f"weight {weight:g}: {100 * len(ends) / len(paths):.0f} % end here")
        axes[1].plot(*goal, **star)
    _name(axes, plant, entries, len(paths), t)
    return axes


def _window(paths, goals):
    """Limits (2, 2) of a square about paths and goals."""
    points = np.concatenate((paths.reshape(-1, 2), goals))
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.54 * (high - low).max()
    return np.stack(((low + high) / 2 - half, (low + high) / 2 + half), axis=1)


def _tint(mixture, t, entries, window):
    """Colors (PIXELS, PIXELS, 3) of the goals, mixed by their shares."""
    x = np.zeros((PIXELS, PIXELS, mixture.policies[0].x_ref.shape[1]))
    x[..., list(entries)] = np.stack(np.meshgrid(*(np.linspace(*limits, PIXELS) for limits in window)), axis=2)
    shades = np.array([to_rgb(shade) for shade in SHADES[: len(mixture.weights)]])
    return 1.0 - PALE * (1.0 - np.clip(mixture.responsibilities(t, x) @ shades, 0.0, 1.0))


def _name(axes, plant, entries, count, t):
    labels = [f"{plant.state_names[i]} [{plant.units[i]}]" if plant.units[i] else plant.state_names[i] for i in entries]
    for ax in axes:
        ax.set(aspect="equal", xlabel=labels[0])
    axes[0].set(title=f"{count} sampled paths", ylabel=labels[1])
    axes[1].set(title=f"shares of the goals at {t * plant.dt:.3g} s, and where the paths are then")
    axes[0].legend(loc="best", handletextpad=0.2)
