"""Figures of trajectories: every state and control over time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_floats, check_instance, check_sequence, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting.theme import Page, Panels, check_axes, color, legend_above, style
from ppi_robotics.problem import Plant, is_limited
from ppi_robotics.rollouts import Rollouts

NOMINAL = {"color": "0.1", "linewidth": 1.0, "linestyle": ":"}
LIMIT = {"color": "0.55", "linestyle": (0, (4, 3)), "linewidth": 1.0}


def trajectory(
    plant: Plant,
    rollouts: Rollouts,
    nominal: tuple[ArrayLike, ArrayLike] | None = None,
    name: str = "PPI",
    axes: Sequence[Axes] | None = None,
) -> Panels:
    """Every state and control over time: median and 5-95 % band of rollouts, nominal trajectory, limits.

    Args:
      plant: names, units, limits and the length of a stage.
      rollouts: `Rollouts` of one policy.
      nominal: noise-free states (T + 1, nx) and controls (T, nu); left out if None.
      name: method that made the policy, for the color.
      axes: nx + nu axes, states first; a new figure if None.

    Returns:
      The nx + nu axes.

    Raises:
      ProblemError: if the number of axes is wrong or no rollout is finite.
    """
    if not isinstance(plant, Plant):
        raise ProblemError(f"plant is {shown(plant)}; expected a plant such as CartPole()")
    check_instance(rollouts, "rollouts", Rollouts, "such as rollout returns")
    if nominal is not None:
        nominal = check_sequence(nominal, "nominal", "arrays of states and of controls", 2)
        N = rollouts.x.shape[1]
        shapes = (N, plant.nx), (N - 1, plant.nu)
        nominal = [as_floats(part, f"nominal[{i}]", shapes[i]) for i, part in enumerate(nominal)]
    if axes is None:
        with style():
            return trajectory(plant, rollouts, nominal, name, trajectory_axes(plant))
    check_panels(plant, axes)
    finite = np.isfinite(rollouts.x).all(axis=(1, 2)) & np.isfinite(rollouts.u).all(axis=(1, 2))
    if not finite.any():
        raise ProblemError(f"none of the {len(finite)} rollouts is finite; draw those of a policy that stays finite")
    time = plant.dt * np.arange(rollouts.x.shape[1])
    for i, ax in enumerate(axes):
        source, entry, held = (rollouts.x, i, False) if i < plant.nx else (rollouts.u, i - plant.nx, True)
        line = None if nominal is None else nominal[held][:, entry]
        _band(ax, time, source[finite, :, entry], line, color(name), held)
        finish_panel(ax, plant, i, time)
    lost = len(finite) - finite.sum()
    count = f"{finite.sum()} noisy rollouts" + (f" ({lost} more diverged)" if lost else "")
    handles = [
        Line2D([], [], color=color(name), label="median"),
        Line2D([], [], color=color(name), alpha=0.22, linewidth=7, label=f"5 to 95 % of {count}"),
    ]
    if nominal is not None:
        handles.append(Line2D([], [], label="without noise", **NOMINAL))
    explain(axes, plant, handles)
    return axes


def trajectory_axes(plant):
    """States in two columns, positions before velocities; below them the controls, a single one across the page."""
    state_rows, across = -(-plant.nx // 2), plant.nu == 1
    control_rows = plant.nu if across else -(-plant.nu // 2)
    rows = state_rows + control_rows
    figure = Page(9.0, 1.0 + 1.65 * rows, header=0.6)
    grid = figure.add_gridspec(rows, 2, hspace=0.42)
    axes = []
    for count, first, height in ((plant.nx, 0, state_rows), (plant.nu, state_rows, control_rows)):
        for i in range(count):
            column, row = divmod(i, height)
            axes.append(figure.add_subplot(grid[first + row, slice(None) if first and across else column]))
            last = row == height - 1 or i == count - 1
            axes[-1].tick_params(labelbottom=last)
            if first and last:
                axes[-1].set_xlabel("time [s]")
    return axes


def check_panels(plant, axes):
    """Raise `ProblemError` unless there is one of the axes for every state and control."""
    check_axes(axes, plant.nx + plant.nu, f"{plant.nx} states and {plant.nu} controls")


def finish_panel(ax, plant, i, time):
    """Limits, title and ticks of the panel of entry i among states and controls, at times (T + 1,)."""
    _mark_limits(ax, np.concatenate([plant.state_limits, plant.control_limits])[i])
    name, unit = (*plant.state_names, *plant.control_names)[i], plant.units[i]
    ax.set_title(f"{name} [{unit}]" if unit else name, loc="left", fontsize="medium", pad=3.0)
    ax.set_xlim(time[0], time[-1])
    ax.margins(y=0.08)
    if unit == "rad":
        _count_in_pi(ax)


def explain(axes, plant, handles):
    """The legend of all panels; adds the line of limits if the plant has any."""
    if is_limited(plant):
        handles = [*handles, Line2D([], [], label="limit", **LIMIT)]
    legend_above(axes[0], handles, len(handles))


def _band(ax, time, samples, nominal, shade, held):
    """Quantiles of samples (N, n) over time; controls are held over their stage, and the last one to the end."""
    low, median, high = np.quantile(samples, (0.05, 0.5, 0.95), axis=0)
    if held:
        low, median, high = (np.append(line, line[-1]) for line in (low, median, high))
        nominal = None if nominal is None else np.append(nominal, nominal[-1])
    ax.fill_between(time, low, high, step="post" if held else None, color=shade, alpha=0.22, linewidth=0)
    drawing = "steps-post" if held else "default"
    ax.plot(time, median, color=shade, drawstyle=drawing)
    if nominal is not None:
        ax.plot(time, nominal, drawstyle=drawing, **NOMINAL)


def _mark_limits(ax, limits):
    """Dashed lines at the limits, unless they are so far away that they would flatten the curves."""
    low, high = ax.get_ylim()
    span = high - low
    for limit in limits:
        if np.isfinite(limit) and low - 2 * span < limit < high + 2 * span:
            ax.axhline(limit, **LIMIT)


def _count_in_pi(ax):
    """Ticks at multiples of pi / 2, or of pi, if the axis spans a few of them."""
    low, high = ax.get_ylim()
    step = np.pi / 2 if high - low < 3 * np.pi else np.pi
    if 1.5 * step < high - low < 8 * step:
        ax.yaxis.set_major_locator(MultipleLocator(step))
        ax.yaxis.set_major_formatter(FuncFormatter(_multiple_of_pi))


def _multiple_of_pi(value, _position):
    halves = round(value / (np.pi / 2))
    if halves == 0:
        return "0"
    count, unit = (abs(halves), "π/2") if halves % 2 else (abs(halves) // 2, "π")
    sign = "\N{MINUS SIGN}" if halves < 0 else ""
    return f"{sign}{count if count > 1 else ''}{unit}"
