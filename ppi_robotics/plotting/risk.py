"""Figure of the distribution of the cost over the risk weight eta.

axes = plotting.risk.risk_dial(ppi.risk_profile(problem, ilqg, eta=dict(zip(etas, solutions))))
axes[0].figure.savefig("risk.png")
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting.costs import histograms
from ppi_robotics.plotting.theme import ON_LINES, OTHER_COLORS, Page, Panels, check_axes, color, is_wide, number, style
from ppi_robotics.risk import RiskProfile

TICKS_APART = 0.085  # of the width of an axis
UNSOLVED = "x"
DECADES = 300.0  # ratio up to which a logarithmic axis marks 1, 2 and 5 of every decade
MOST_HANDLES = 4  # of a legend in one column
DASHES = ("-", "--", "-.", ":")  # of expansions


def risk_dial(profile: RiskProfile, axes: Sequence[Axes] | None = None) -> Panels:
    """Mean, variance, risk measures and three histograms of the cost over eta.

    Bars are 95 % intervals. Weights that were not solved are crosses off the lines of mean and variance, and left out
    elsewhere; so are infinite numbers. Mean and variance are drawn for every expansion, the rest for the first.

    Args:
      profile: `RiskProfile`.
      axes: four axes; a new figure if None.

    Returns:
      The four axes.

    Raises:
      ProblemError: if the number of axes is wrong, or every rollout diverged.
    """
    if axes is None:
        with style():
            return risk_dial(profile, Page(9.6, 7.2).subplots(2, 2).ravel())
    check_axes(axes, 4, "four panels")
    eta = np.array([point.eta for point in profile.points])
    for ax in axes[:3]:
        scale_weights(ax, eta)
    _panel(axes[0], profile, "expected cost", lambda p: (p.evaluation.mean, p.evaluation.mean_interval()))
    variance = "variance of the cost", lambda p: (p.evaluation.variance, p.evaluation.variance_interval())
    _panel(axes[1], profile, *variance)
    _risk_measures(axes[2], profile)
    evaluations = chosen(profile)
    handles = histograms(axes[3], evaluations, 0.95)
    for name, handle in zip(
        (*evaluations, "mean", "CVaR 95 %"), handles, strict=True
    ):  # the other panels have their numbers
        handle.set_label(name)
    axes[3].legend(handles=handles, loc="best", **ON_LINES)
    of_first = f", {profile.expansions[0]}" if len(profile.expansions) > 1 else ""
    axes[2].set_title(axes[2].get_title() + of_first)
    axes[3].set_title(f"cost of {profile.ilqg.evaluation.samples} noisy rollouts{of_first}")
    return axes


def chosen(profile):
    """`Evaluation`s of the weight nearest 0 and of the most seeking and the most averse one, by name."""
    points = [point for point in profile.points if point.expansion == profile.expansions[0]] or profile.points
    finite = [point for point in points if point.evaluation.diverged < point.evaluation.samples]
    points = [point for point in finite if point.solution.status.solved] or finite
    if not points:
        raise ProblemError("every rollout at every weight diverged; give a profile with finite costs")
    middle = min(points, key=lambda point: abs(point.eta))
    ends = [point for point in (points[-1], points[0]) if point is not middle]
    return {_name(point.eta): point.evaluation for point in (middle, *ends)}


def scale_weights(ax, eta):
    """Axis of eta: logarithmic on either side of 0, linear about it up to the smallest weight; ticks at weights."""
    sizes = np.abs(eta[eta != 0.0])
    if len(sizes):
        ax.set_xscale("symlog", linthresh=sizes.min(), linscale=0.5)
    position = ax.xaxis.get_transform().transform(eta)
    width = np.ptp(position) or 1.0
    low, high = position.min() - 0.04 * width, position.max() + 0.04 * width
    ax.set_xlim(*ax.xaxis.get_transform().inverted().transform([low, high]))
    ax.xaxis.set_major_locator(FixedLocator(tick_weights(eta, position)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    ax.set_xlabel("η [1/cost]")


def tick_weights(eta, position):
    """Weights with a label: both ends, 0, powers of ten, and of the others those that do not overlap."""
    log = np.log10(np.abs(np.where(eta == 0.0, 1.0, eta)))
    rank = np.where(np.abs(log - np.round(log)) < 1e-9, 2, 3)
    rank[[np.argmin(eta), np.argmax(eta)]] = 0
    rank[eta == 0.0] = 1
    room, kept = TICKS_APART * (np.ptp(position) or 1.0), []
    for i in np.lexsort((-position, rank)):
        if all(abs(position[i] - position[j]) >= room for j in kept):
            kept.append(i)
    return np.sort(eta[kept])


def _panel(ax, profile, title, measure):
    """A statistic over eta for every method, beside iLQG's."""
    values, handles = [], []
    curves = by_method(profile)
    several = len(curves) > 1
    for name, (points, shade, dash) in curves.items():
        values += _line(ax, points, measure, shade, dash=dash)
        label = name if several else f"{name}, 95 % intervals"
        handles.append(Line2D([], [], color=shade, marker=".", markersize=7, linestyle=dash, label=label))
    level, interval = measure(profile.ilqg)
    if np.isfinite(level):
        shade = color("iLQG")
        if interval is not None:
            ax.axhspan(*interval, color=shade, alpha=0.2, linewidth=0)
        handles.append(ax.axhline(level, color=shade, linestyle=(0, (5, 3)), linewidth=1.2, label="iLQG", zorder=1))
        values.append(level)
    if not all(point.solution.status.solved for point in profile.points):
        handles.append(Line2D([], [], color="0.3", marker=UNSOLVED, linestyle="", label="not solved"))
    _finish(ax, title + (", 95 % intervals" if several else ""), values, handles)


def _risk_measures(ax, profile):
    """CVaR and entropic cost over eta, and the merit, which is computed and not sampled."""
    measures = {  # marker, line, value and interval
        "CVaR 95 %": ("^", "-", lambda p: (p.evaluation.cvar(), p.evaluation.cvar_interval())),
        "entropic cost": (".", "-", _entropic),
        "merit": ("s", "--", lambda p: (p.solution.cost, None)),
    }
    first = [point for point in profile.points if point.theta is not None] + profile.of(profile.expansions[0])
    solved = [point for point in first if point.solution.status.solved]
    values, handles = [], []
    for name, (marker, dash, measure) in measures.items():
        size = 7 if marker == "." else 3.5
        for method in ("PPI", "LEQG"):
            points = [p for p in solved if (p.theta is None) == (method == "PPI")]
            values += _line(ax, points, measure, color(method), marker, dash, size)
        if solved:
            handles.append(Line2D([], [], color="0.3", marker=marker, markersize=size, linestyle=dash, label=name))
    _finish(ax, "risk measures and objective", values, handles)


def _entropic(point):
    return point.evaluation.entropic(point.eta), point.evaluation.entropic_interval(point.eta)


def by_method(profile):
    """Points, color and dashes of PPI with every expansion and of LEQG, by name, without empty lists."""
    several, curves = len(profile.expansions) > 1, {}
    for i, expansion in enumerate(profile.expansions):
        shade = OTHER_COLORS[(i - 1) % len(OTHER_COLORS)] if i else color("PPI")
        name = f"PPI, {expansion}" if several else "PPI"
        curves[name] = profile.of(expansion), shade, DASHES[i % len(DASHES)]
    curves["LEQG"] = [point for point in profile.points if point.theta is not None], color("LEQG"), "-"
    return {name: curve for name, curve in curves.items() if curve[0]}


def _line(ax, points, measure, shade, marker=".", dash="-", size=7):
    """Finite values over eta with 95 % intervals, joined where solved; returns the values."""
    if not points:
        return []
    solved = np.array([point.solution.status.solved for point in points])
    eta = np.array([point.eta for point in points])
    measured = [measure(point) for point in points]
    value = np.array([value for value, _ in measured])
    ends = np.array([interval or (value, value) for value, interval in measured])  # no bar without an interval
    finite = np.isfinite(value)
    with np.errstate(invalid="ignore"):  # infinite values, which are not drawn
        below_above = np.maximum([value - ends[:, 0], ends[:, 1] - value], 0.0)
    drawn = {"color": shade, "elinewidth": 1.1, "capsize": 2.5, "markersize": size}
    for part, form in ((finite & solved, f"{marker}{dash}"), (finite & ~solved, UNSOLVED)):
        if part.any():
            ax.errorbar(eta[part], value[part], below_above[:, part], fmt=form, **drawn)
    return list(value[finite])


def _finish(ax, title, values, handles):
    """Title, scale and legend of a panel; values that span decades make the axis logarithmic."""
    wide = is_wide(values)
    if wide:
        ax.set_yscale("log")
        if max(values) < DECADES * min(values):
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
            ax.yaxis.set_minor_locator(NullLocator())
    ax.set_title(title + (", logarithmic" if wide else ""))
    ax.margins(y=0.08)
    if values:
        ax.legend(handles=handles, loc="best", ncols=1 + (len(handles) > MOST_HANDLES), **ON_LINES)
    else:
        ax.text(0.5, 0.5, "no finite value", transform=ax.transAxes, ha="center", va="center")


def _name(eta):
    kind = "neutral" if eta == 0 else "seeking" if eta > 0 else "averse"
    return f"{kind}, η = {number(eta)}"
