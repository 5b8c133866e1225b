"""Figures of trajectories and of cost distributions."""

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullLocator

from ppi_robotics.distribution import with_error
from ppi_robotics.errors import ProblemError
from ppi_robotics.plans import is_limited

# Okabe and Ito's colors and some of Tol's, which color-blind readers can tell apart; one per method in every figure
COLORS = {"PPI": "#0072B2", "iLQG": "#D55E00", "LEQG": "#009E73", "AICO": "#882255", "Psi": "#999933"}
COLORS |= {"MPPI": "#332288", "CEM": "#CC6677", "Predictive": "#44AA99"}
OTHER_COLORS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")
LIMIT = {"color": "0.55", "linestyle": (0, (4, 3)), "linewidth": 1.0}
# largest excess over the median, in interquartile ranges; of 1000 samples 2.4 if normal, 6 if exponential
HEAVY_TAIL = 20.0


def style():
    """Context manager with the package's matplotlib settings."""
    return rc_context(
        {
            "font.size": 9.0,
            "axes.titlesize": 10.0,
            "axes.labelsize": 9.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "0.3",
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "0.9",
            "grid.linewidth": 0.7,
            "xtick.color": "0.3",
            "ytick.color": "0.3",
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "lines.linewidth": 1.6,
        }
    )


def color(name, index=0):
    """Color of a method by the beginning of its name; other names take one of the remaining colors by index."""
    for method, value in COLORS.items():
        if name.lower().startswith(method.lower()):
            return value
    return OTHER_COLORS[index % len(OTHER_COLORS)]


def trajectory(plant, rollouts, nominal=None, name="PPI", axes=None):
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
    if axes is None:
        with style():
            return trajectory(plant, rollouts, nominal, name, trajectory_axes(plant))
    check_axes(plant, axes)
    finite = np.isfinite(rollouts.x).all(axis=(1, 2)) & np.isfinite(rollouts.u).all(axis=(1, 2))
    if not finite.any():
        raise ProblemError(f"none of the {len(finite)} rollouts is finite; draw those of a policy that stays finite")
    time = plant.dt * np.arange(rollouts.x.shape[1])
    for i, ax in enumerate(axes):
        source, entry, held = (rollouts.x, i, False) if i < plant.nx else (rollouts.u, i - plant.nx, True)
        line = None if nominal is None else nominal[held][:, entry]
        _band(ax, time, source[finite, :, entry], line, color(name), held)
        finish_panel(ax, plant, i, time)
    _explain_band(axes, finite, nominal is not None, color(name), is_limited(plant))
    return axes


def cost_distribution(evaluations, ax=None, level=0.95):
    """Histograms of the cost per method, with the mean and the mean of the worst rollouts (CVaR) marked.

    Args:
      evaluations: names and `Evaluation`s.
      ax: axes; a new figure if None.
      level: of the CVaR; 0.95 is the mean of the worst 5 %.

    Returns:
      The axes. The cost axis is logarithmic away from the median, and says so, if a distribution is heavy-tailed.

    Raises:
      ProblemError: if there is no finite cost to draw.
    """
    if ax is None:
        with style():
            figure = Page(7.0, 4.4, header=0.2 + 0.34 * -(-(len(evaluations) + 2) // 2))
            figure.subplots_adjust(**figure.margins)
            return cost_distribution(evaluations, figure.add_subplot(), level)
    finite = {name: evaluation.cost[np.isfinite(evaluation.cost)] for name, evaluation in evaluations.items()}
    pooled = np.concatenate(list(finite.values())) if finite else np.empty(0)
    if not len(pooled):
        raise ProblemError("no finite cost to draw; give at least one evaluation with rollouts that do not diverge")
    heavy = any(_heavy_tailed(cost) for cost in finite.values() if len(cost))
    stretch = Stretch(pooled) if heavy else None
    edges = _bins(pooled, stretch)
    if heavy:
        ax.set_xscale("function", functions=(stretch.forward, stretch.inverse))
        ax.set_xticks(stretch.ticks(edges[0], edges[-1]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:.7g}")
    handles, others = [], 0
    for name, evaluation in evaluations.items():
        shade = color(name, others)
        others += shade in OTHER_COLORS
        _histogram(ax, finite[name], len(evaluation.cost), edges, shade)
        handles.append(Line2D([], [], color=shade, linewidth=5, label=_summary(name, evaluation, finite[name], level)))
        for value, dash in ((evaluation.mean, "-"), (evaluation.cvar(level), (0, (4, 2)))):
            if np.isfinite(value):
                ax.axvline(value, color=shade, linestyle=dash, linewidth=1.3)
    handles.append(Line2D([], [], color="0.3", linewidth=1.3, label="mean"))
    worst = f"mean of the worst {100 * (1 - level):.3g} % (CVaR)"
    handles.append(Line2D([], [], color="0.3", linewidth=1.3, linestyle=(0, (4, 2)), label=worst))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("cost of a noisy rollout" + (", logarithmic away from the median" if heavy else ""))
    ax.set_ylabel("share of rollouts [%]")
    legend_above(ax, handles, 2)
    return ax


class Page(Figure):
    """A figure of this module's own, with a legend above its axes.

    Its margins are fixed, because matplotlib's automatic ones double the time of drawing.
    """

    def __init__(self, width, height, header):
        super().__init__(figsize=(width, height), dpi=120)
        FigureCanvasAgg(self)
        self.margins = {"left": 0.7 / width, "right": 1 - 0.12 / width}
        self.margins |= {"bottom": 0.5 / height, "top": 1 - header / height}


def trajectory_axes(plant):
    """States in two columns, positions before velocities; below them the controls, a single one across the page."""
    state_rows, across = -(-plant.nx // 2), plant.nu == 1
    control_rows = plant.nu if across else -(-plant.nu // 2)
    rows = state_rows + control_rows
    figure = Page(9.0, 1.0 + 1.65 * rows, header=0.6)
    grid = figure.add_gridspec(rows, 2, **figure.margins, hspace=0.42, wspace=0.16)
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


def check_axes(plant, axes):
    """Raise `ProblemError` unless there is one for every state and control."""
    count = plant.nx + plant.nu
    if len(axes) != count:
        raise ProblemError(f"{len(axes)} axes for {plant.nx} states and {plant.nu} controls; give {count} axes")


def finish_panel(ax, plant, i, time):
    """Limits, title and ticks of the panel of entry i among states and controls, at times (T + 1,)."""
    _mark_limits(ax, np.concatenate([plant.state_limits, plant.control_limits])[i])
    name, unit = (*plant.state_names, *plant.control_names)[i], plant.units[i]
    ax.set_title(f"{name} [{unit}]" if unit else name, loc="left", fontsize="medium", pad=3.0)
    ax.set_xlim(time[0], time[-1])
    ax.margins(y=0.08)
    if unit == "rad":
        _count_in_pi(ax)


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
        ax.plot(time, nominal, color="0.1", linewidth=1.0, linestyle=":", drawstyle=drawing)


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


def _explain_band(axes, finite, nominal, shade, limits):
    lost = len(finite) - finite.sum()
    count = f"{finite.sum()} noisy rollouts" + (f" ({lost} more diverged)" if lost else "")
    handles = [
        Line2D([], [], color=shade, label="median"),
        Line2D([], [], color=shade, alpha=0.22, linewidth=7, label=f"5 to 95 % of {count}"),
    ]
    if nominal:
        handles.append(Line2D([], [], color="0.1", linewidth=1.0, linestyle=":", label="without noise"))
    if limits:
        handles.append(Line2D([], [], label="limit", **LIMIT))
    legend_above(axes[0], handles, len(handles))


def legend_above(ax, handles, columns):
    """A legend above the figure if it is one of ours, which makes room for it, else in the axes."""
    if isinstance(ax.figure, Page):
        ax.figure.legend(handles=handles, loc="upper center", ncols=columns)
    else:
        ax.legend(handles=handles)


def _heavy_tailed(cost):
    low, median, high = np.quantile(cost, (0.25, 0.5, 0.75))
    return high > low and cost.max() - median > HEAVY_TAIL * (high - low)


class Stretch:
    """Scale of an axis, asinh((cost - median) / spread): linear about the median, logarithmic away from it."""

    def __init__(self, cost):
        low, self.median, high = np.quantile(cost, (0.25, 0.5, 0.75))
        self.spread = high - low

    def forward(self, cost):
        """Position on the axis."""
        return np.arcsinh((np.asarray(cost) - self.median) / self.spread)

    def inverse(self, position):
        """Cost at a position."""
        return self.median + self.spread * np.sinh(position)

    def ticks(self, low, high):
        """Some costs evenly spaced on the axis, rounded to what their distance from the median warrants."""
        costs = self.inverse(np.linspace(self.forward(low), self.forward(high), 8))[1:-1]
        decimals = -np.floor(np.log10(np.maximum(np.abs(costs - self.median), 0.1 * self.spread))).astype(int)
        rounded = {round(float(cost), int(d)) for cost, d in zip(costs, decimals, strict=True)}
        return sorted(cost for cost in rounded if low <= cost <= high)


def _bins(cost, stretch):
    """Edges of 20 to 80 bins of equal width on the axis, by the rule of Freedman and Diaconis."""
    values = stretch.forward(cost) if stretch else cost
    low, high = values.min(), values.max()
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.01 * max(abs(low), 1.0)
        low, high = low - margin, high + margin
    quartiles = np.quantile(values, (0.25, 0.75))
    width = 2 * (quartiles[1] - quartiles[0]) / len(values) ** (1 / 3)
    count = int(np.clip((high - low) / width, 20, 80)) if width > 0 else 40
    edges = np.linspace(low, high, count + 1)
    if stretch:
        edges = stretch.inverse(edges)
        # rounding there and back must not push the extreme costs out of the range
        edges[0], edges[-1] = min(edges[0], cost.min()), max(edges[-1], cost.max())
    return edges


def _histogram(ax, cost, total, edges, shade):
    share = 100 * np.histogram(cost, edges)[0] / total
    ax.stairs(share, edges, fill=True, color=shade, alpha=0.22)
    ax.stairs(share, edges, color=shade, linewidth=1.4)


def _summary(name, evaluation, finite, level):
    # matplotlib reads formulas between dollars and leaves out labels that begin with an underscore
    name = f"{' ' if name.startswith('_') else ''}{name}".replace("$", r"\$")
    total = len(evaluation.cost)
    if len(finite) < total:
        return f"{name}: {total} rollouts, {total - len(finite)} diverged\nmean and CVaR infinite"
    mean = with_error(evaluation.mean, evaluation.standard_error)
    return f"{name}: {total} rollouts\nmean {mean}, CVaR {evaluation.cvar(level):.5g}"
