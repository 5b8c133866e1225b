"""Figures of cost distributions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ppi_robotics.checks import check_instance, check_names, check_number, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting.theme import OTHER_COLORS, Page, Panel, check_ax, color, legend_above, style
from ppi_robotics.statistics import Evaluation
from ppi_robotics.texts import with_interval

# largest excess over the median, in interquartile ranges; of 1000 samples 2.4 if normal, 6 if exponential
HEAVY_TAIL = 20.0
DASH = (0, (4, 2))  # of the CVaR


def cost_distribution(evaluations: Mapping[str, Evaluation], ax: Axes | None = None, level: float = 0.95) -> Panel:
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
    if not isinstance(evaluations, Mapping):
        raise ProblemError(f"evaluations is {shown(evaluations)}; expected a dict from names to Evaluations")
    check_names(tuple(evaluations), "evaluations")
    for name, evaluation in evaluations.items():
        check_instance(evaluation, f"evaluations['{name}']", Evaluation, "such as evaluate returns")
    level = check_number(level, "level", least=0, below=1)
    if ax is None:
        with style():
            header = 0.2 + 0.34 * -(-(len(evaluations) + 2) // 2)
            return cost_distribution(evaluations, Page(7.0, 3.9 + header, header).add_subplot(), level)
    legend_above(check_ax(ax), histograms(ax, evaluations, level), 2)
    return ax


def histograms(ax, evaluations, level):
    """Draw `cost_distribution` without a legend; returns its handles: one an evaluation, the mean, the CVaR."""
    finite = {name: evaluation.cost[np.isfinite(evaluation.cost)] for name, evaluation in evaluations.items()}
    some = [cost for cost in finite.values() if len(cost)]
    if not some:
        raise ProblemError("no finite cost to draw; give at least one evaluation with rollouts that do not diverge")
    heavy = any(_heavy_tailed(cost) for cost in some)
    stretch = Stretch(np.concatenate(some)) if heavy else None
    edges = _bins(some, stretch)
    if heavy:
        ax.set_xscale("function", functions=(stretch.forward, stretch.inverse))
        ax.set_xticks(stretch.ticks(edges[0], edges[-1]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:.7g}")
    handles, others = [], 0
    for name, evaluation in evaluations.items():
        shade = color(name, others)
        others += shade in OTHER_COLORS
        share = 100 * np.histogram(finite[name], edges)[0] / len(evaluation.cost)
        ax.stairs(share, edges, fill=True, color=shade, alpha=0.22)
        ax.stairs(share, edges, color=shade, linewidth=1.4)
        handles.append(Line2D([], [], color=shade, linewidth=5, label=_summary(name, evaluation, finite[name], level)))
        for value, dash in ((evaluation.mean, "-"), (evaluation.cvar(level), DASH)):
            if np.isfinite(value):
                ax.axvline(value, color=shade, linestyle=dash, linewidth=1.3)
    worst = f"mean of the worst {100 * (1 - level):.3g} % (CVaR)"
    for label, dash in (("mean", "-"), (worst, DASH)):
        handles.append(Line2D([], [], color="0.3", linewidth=1.3, linestyle=dash, label=label))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("cost of a noisy rollout" + (", logarithmic away from the median" if heavy else ""))
    ax.set_ylabel("share of rollouts [%]")
    return handles


def _heavy_tailed(cost):
    low, median, high = np.quantile(cost, (0.25, 0.5, 0.75))
    return high > low and cost.max() - median > HEAVY_TAIL * (high - low)


class Stretch:
    """Scale of an axis, asinh((cost - median) / scale): linear about the median, logarithmic away from it."""

    def __init__(self, cost):
        low, self.median, high = np.quantile(cost, (0.25, 0.5, 0.75))
        self.scale = high - low

    def forward(self, cost):
        """Position on the axis."""
        return np.arcsinh((np.asarray(cost) - self.median) / self.scale)

    def inverse(self, position):
        """Cost at a position."""
        return self.median + self.scale * np.sinh(position)

    def ticks(self, low, high):
        """Costs at even distances on the axis, with as many digits as their distance from the median has."""
        costs = self.inverse(np.linspace(self.forward(low), self.forward(high), 8))[1:-1]
        decimals = -np.floor(np.log10(np.maximum(np.abs(costs - self.median), 0.1 * self.scale))).astype(int)
        rounded = {round(float(cost), int(d)) for cost, d in zip(costs, decimals, strict=True)}
        return sorted(cost for cost in rounded if low <= cost <= high)


def _bins(costs, stretch):
    """Edges of 20 to 80 bins of equal width on the axis, by Freedman and Diaconis for the narrowest distribution."""
    values = [stretch.forward(cost) if stretch else cost for cost in costs]
    low, high = min(part.min() for part in values), max(part.max() for part in values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.01 * max(abs(low), 1.0)
        low, high = low - margin, high + margin
    widths = [2 * np.subtract(*np.quantile(part, (0.75, 0.25))) / len(part) ** (1 / 3) for part in values]
    width = min((width for width in widths if width > 0), default=0.0)
    count = int(np.clip((high - low) / width, 20, 80)) if width > 0 else 40
    edges = np.linspace(low, high, count + 1)
    if stretch:
        edges = stretch.inverse(edges)
        # rounding there and back must not push the extreme costs out of the range
        edges[0], edges[-1] = min(edges[0], *map(np.min, costs)), max(edges[-1], *map(np.max, costs))
    return edges


def _summary(name, evaluation, finite, level):
    # matplotlib reads formulas between dollars and leaves out labels that begin with an underscore
    name = f"{' ' if name.startswith('_') else ''}{name}".replace("$", r"\$")
    total = len(evaluation.cost)
    if len(finite) < total:
        return f"{name}: {total} rollouts, {total - len(finite)} diverged\nmean and CVaR infinite"
    mean = with_interval(evaluation.mean, evaluation.mean_interval())
    return f"{name}: {total} rollouts\nmean {mean}, CVaR {evaluation.cvar(level):.5g}"
