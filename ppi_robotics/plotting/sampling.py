"""Figures of sampling-based methods: the fan of sampled trajectories, and how weights and cost went round by round.

axes = plotting.sampling.fan(problem, ppi.solve(problem, ppi.MPPI()))
axes[0].figure.savefig("fan.png")
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting.theme import Page, Panels, check_axes, color, is_wide, style
from ppi_robotics.plotting.trajectories import check_panels, explain, finish_panel, trajectory_axes
from ppi_robotics.problem import Problem
from ppi_robotics.sampling import mppi
from ppi_robotics.solution import Solution

FAINT = 0.18  # share of the color in samples without weight
DRAWN = 256  # samples
ANSWER = {"color": "0.1", "linewidth": 1.3}


def fan(
    problem: Problem,
    solution: Solution,
    drawn: mppi.Fan | None = None,
    seed: int = 0,
    axes: Sequence[Axes] | None = None,
) -> Panels:
    """Sampled trajectories of a method that samples, the darker the more weight they have, and the answer on top.

    Args:
      problem: `Problem`.
      solution: `Solution` of such a method.
      drawn: `Fan` to show; by default that of the last round if the solution kept it, else 256 samples of `ppi.fan`.
      seed: of those.
      axes: nx + nu axes, states first; a new figure if None.

    Returns:
      The nx + nu axes.

    Raises:
      ProblemError: if the number of axes is wrong, the method does not sample, or no sample has a finite cost.
    """
    plant = problem.plant
    if axes is None:
        with style():
            return fan(problem, solution, drawn, seed, trajectory_axes(plant))
    check_panels(plant, axes)
    drawn = mppi.fan(problem, solution, DRAWN, seed) if drawn is None else drawn
    if not drawn.weights.any():
        raise ProblemError(f"none of the {len(drawn.cost)} samples has a finite cost; sample less far")
    time, shade = plant.dt * np.arange(problem.horizon + 1), color(solution.method.name)
    order = np.argsort(drawn.weights)[-DRAWN:]
    order = order[np.isfinite(drawn.x[order]).all(axis=(1, 2))]
    strength = drawn.weights[order] / drawn.weights.max()
    shades = [tint(shade, FAINT + (1.0 - FAINT) * share) for share in strength]
    u = np.clip(drawn.u[order], *plant.control_limits.T)
    for i, ax in enumerate(axes):
        held = i >= plant.nx
        values = u[:, :, i - plant.nx] if held else drawn.x[order, :, i]
        line = np.append(solution.u, solution.u[-1:], axis=0)[:, i - plant.nx] if held else solution.x[:, i]
        _lines(ax, time, values, shades, held)
        ax.plot(time, line, zorder=3, drawstyle="steps-post" if held else "default", **ANSWER)
        finish_panel(ax, plant, i, time)
    ess = 1.0 / np.sum(drawn.weights**2)
    handles = [
        Line2D([], [], color=tint(shade, FAINT), linewidth=2, label=f"{len(order)} samples"),
        Line2D([], [], color=shade, linewidth=2, label=f"of more weight ({ess:.3g} effective samples)"),
        Line2D([], [], label="answer, without noise", **ANSWER),
    ]
    explain(axes, plant, handles)
    return axes


def samples(solution: Solution, axes: Sequence[Axes] | None = None) -> Panels:
    """Cost of the mean, effective sample size and temperature of the weights over the rounds of a method that samples.

    Rounds whose weights have no temperature, as those of elites, are left out of its panel.

    Args:
      solution: `Solution` of such a method.
      axes: three axes; a new figure if None.

    Returns:
      The three axes.

    Raises:
      ProblemError: if the number of axes is wrong, or the method does not sample.
    """
    if axes is None:
        with style():
            return samples(solution, Page(7.0, 5.6).subplots(3, 1))
    check_axes(axes, 3, "three panels")
    rows = solution.trace
    if not any(np.isfinite(row.ess) for row in rows):
        raise ProblemError("no round of the solution has sampled; give one of MPPI, CEM or PredictiveSampling")
    shade = color(solution.method.name)
    panels = ("cost", "cost of the mean"), ("ess", "effective sample size"), ("temperature", "temperature [cost]")
    for ax, (name, title) in zip(axes, panels, strict=True):
        values = np.array([getattr(row, name) for row in rows])
        good = np.isfinite(values)
        ax.set_title(title, loc="left", fontsize="medium", pad=3.0)
        ax.set_xlim(0.5, len(rows) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.tick_params(labelbottom=ax is axes[-1])
        if not good.any():
            ax.text(0.5, 0.5, "none: samples weigh by rank", transform=ax.transAxes, ha="center", va="center")
            ax.set_yticks([])
            continue
        ax.plot(np.flatnonzero(good) + 1, values[good], color=shade, marker=".", markersize=3.5, linewidth=1.1)
        if is_wide(values[good]):
            ax.set_yscale("log")
        elif name == "ess":
            ax.set_ylim(0.0, 1.1 * values[good].max())
    axes[-1].set_xlabel("round")
    return axes


def tint(shade, share):
    """A color mixed with white."""
    return tuple(1.0 - share * (1.0 - part) for part in to_rgb(shade))


def _lines(ax, time, values, shades, held):
    """Samples (N, n) over time, one color each, the last on top; controls are held over their stage."""
    if held:
        time, values = np.repeat(time, 2)[1:-1], np.repeat(values, 2, axis=1)
    segments = np.stack([np.broadcast_to(time, values.shape), values], axis=-1)
    ax.add_collection(LineCollection(segments, colors=shades, linewidths=0.7, zorder=2))
    ax.autoscale_view()
