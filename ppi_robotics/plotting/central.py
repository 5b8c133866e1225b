"""Figures of the recursion on tables: the plane of its two weights, descents, and estimates from samples.

axes = plotting.central.plane(*random_problem())
axes[0].figure.savefig("plane.png")
"""

import math

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ppi_robotics.discrete import mean_and_variance, sample_integral, solve
from ppi_robotics.plotting.theme import COLORS, OTHER_COLORS, color, style

SHADES = (*COLORS.values(), *OTHER_COLORS)
CONFIDENCE = 1.96  # standard errors on either side of a 95 % interval
FINITE = np.geomspace(0.1, 100.0, 40)  # weights of the policy that the plane is drawn at, between 0 and infinity
EDGE = 5.0  # width of the columns of 0 and infinity, that of the others being 1
SIZES = np.geomspace(0.1, 30.0, 28)
TRANSITION = np.concatenate((-SIZES[::-1], [0.0], SIZES))
STAIRS = 8  # iterations whose costs and bounds are drawn one by one
LEAST = 1e-10  # excess below which digits end


def plane(mdp, log_rho, state=0, axes=None):
    """Mean and standard deviation of the cost from a state under the optimal policies of all pairs of weights.

    Args:
      mdp: `FiniteMDP` of finite horizon.
      log_rho: baseline, as for `solve`.
      state: where trajectories start.
      axes: two axes; a new figure if None.

    Returns:
      The two axes.
    """
    if axes is None:
        with style():
            figure, axes = _figure(10.4, 4.9)
            figure.subplots_adjust(left=0.07, right=0.985, bottom=0.12, top=0.9, wspace=0.16)
            return plane(mdp, log_rho, state, axes)
    weights = 0.0, *FINITE, math.inf
    mean, deviation = np.empty((2, len(TRANSITION), len(weights)))
    for j, lP in enumerate(weights):
        for i, lS in enumerate(TRANSITION):
            m, v = mean_and_variance(mdp, solve(mdp, lP, lS, log_rho).log_policy)
            mean[i, j], deviation[i, j] = m[0, state], math.sqrt(v[0, state])
    for ax, values, title in zip(axes, (mean, deviation), ("expected cost", "standard deviation"), strict=True):
        columns = np.concatenate(([0.0], EDGE + np.arange(len(FINITE) + 1), [2 * EDGE + len(FINITE)]))
        drawn = ax.pcolormesh(columns, np.arange(len(TRANSITION) + 1) - 0.5, values, cmap="viridis")
        ax.figure.colorbar(drawn, ax=ax, pad=0.02)
        ax.set_title(f"{title} of the optimal policy, from state {state}")
        _name_weights(ax)
    _mark_methods(axes[0])
    _mark_methods(axes[1], named=False)
    axes[0].set_ylabel("λ of transitions: averse below 0, seeking above")
    return axes


def descents(found, axes=None):
    """Excess of the cost over the optimum by iteration, and the first costs and bounds one by one.

    Args:
      found: names, and pairs of `Descent` and the values (S,) that it goes to.
      axes: two axes; a new figure if None.

    Returns:
      The two axes.
    """
    if axes is None:
        with style():
            figure, axes = _figure(9.6, 4.3)
            figure.subplots_adjust(left=0.075, right=0.985, bottom=0.115, top=0.92, wspace=0.2)
            return descents(found, axes)
    for (name, (descent, optimum)), shade in zip(found.items(), _shades(found), strict=True):
        gap = descent.gap(optimum)
        axes[0].semilogy(np.where(gap > LEAST, gap, np.nan), color=shade, label=name)
        _stairs(axes[1], descent, optimum, shade)
    longest = max(int(np.sum(descent.gap(optimum) > LEAST)) for descent, optimum in found.values())
    axes[0].set(title="largest excess of the cost N(π) over the optimum", xlabel="iteration", xlim=(0, longest))
    axes[0].legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
    axes[1].set(title="costs N(π) (dots) and bounds V (ticks) between them", xlabel="iteration", yscale="log")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def estimates(mdp, log_rho, weight, state, samples, repeats, axes=None):
    """Estimates of the value and of the first action from trajectories of the baseline, over the number of them.

    Args:
      mdp, log_rho, weight, state: as for `sample_integral`.
      samples: largest number of trajectories.
      repeats: estimates of each number, of seeds 0 to repeats - 1; the first has its 95 % interval.
      axes: two axes; a new figure if None.

    Returns:
      The two axes.
    """
    if axes is None:
        with style():
            figure, axes = _figure(9.6, 4.0)
            figure.subplots_adjust(left=0.075, right=0.985, bottom=0.13, top=0.91, wspace=0.18)
            return estimates(mdp, log_rho, weight, state, samples, repeats, axes)
    counts = np.unique(np.geomspace(min(100, samples), samples, 9).astype(int))
    exact = solve(mdp, weight, weight, log_rho)
    for count in counts:
        found = [sample_integral(mdp, weight, state, 0, int(count), seed, log_rho) for seed in range(repeats)]
        shade, first = color("PPI"), found[0]
        axes[0].plot([1.12 * count] * repeats, [one.value for one in found], ".", color="0.65", markersize=4, zorder=1)
        bar = {"fmt": "o", "markersize": 4, "capsize": 2.5, "elinewidth": 1.2}
        axes[0].errorbar(count, first.value, CONFIDENCE * first.standard_error, color=shade, **bar)
        for u, (p, error) in enumerate(zip(first.policy, first.policy_standard_error, strict=True)):
            axes[1].errorbar(count, p, CONFIDENCE * error, color=SHADES[u % len(SHADES)], **bar)
    axes[0].axhline(exact.value[0, state], color="0.1", linewidth=1.0, label="exact")
    axes[0].plot([], [], "o", color=shade, markersize=4, label="seed 0, with its 95 % interval")
    axes[0].plot([], [], ".", color="0.65", label=f"{repeats} seeds")
    axes[0].legend(loc="best")
    for u, p in enumerate(exact.policy[0, state]):
        axes[1].axhline(p, color=SHADES[u % len(SHADES)], linewidth=1.0, label=f"action {u}, exact")
    axes[1].legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
    for ax, title in zip(axes, ("value", "probability of the first action"), strict=True):
        ax.set(title=f"{title} at state {state}, weight {weight:g}", xlabel="trajectories", xscale="log")
    return axes


def _figure(width, height):
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, 2)


def _shades(names):
    """A color for every name."""
    return [SHADES[i % len(SHADES)] for i in range(len(names))]


def _stairs(ax, descent, optimum, shade):
    """N(pi^k) at k and V^(k) at k + 1/2, less the optimum, at the state where the first excess is largest."""
    state = int(np.argmax(descent.cost[0] - optimum))
    count = min(STAIRS, descent.iterations)
    cost, bound = descent.cost[: count + 1, state] - optimum[state], descent.bound[:count, state] - optimum[state]
    chain = np.empty(2 * count + 1)
    chain[::2], chain[1::2] = cost, bound
    chain = np.where(chain > LEAST, chain, np.nan)
    ax.plot(np.arange(2 * count + 1) / 2, chain, color=shade, linewidth=0.8)
    ax.plot(np.arange(count + 1), chain[::2], "o", color=shade, markersize=4)
    ax.plot(np.arange(count) + 0.5, chain[1::2], "_", color=shade, markersize=9, markeredgewidth=1.8)


def _name_weights(ax):
    """Ticks of the plane."""
    policy = [0.0, 0.1, 1.0, 10.0, 100.0, math.inf]
    transition = [-30.0, -10.0, -3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 3.0, 10.0, 30.0]
    ax.set_xticks([_across(w) for w in policy], ["0", "0.1", "1", "10", "100", "∞"])
    ax.set_yticks([_up(w) for w in transition], [f"{w:g}".replace("-", "\N{MINUS SIGN}") for w in transition])
    ax.set_xlabel("λ of the policy: the baseline at 0, a hard minimum at ∞")
    ax.grid(visible=False)


def _mark_methods(ax, named=True):
    """Where the named methods are."""
    outline = [withStroke(linewidth=2.5, foreground="0.2")]  # both ends of the colors need it
    line = {"color": "w", "linewidth": 1.3, "path_effects": outline}
    text = {"color": "w", "fontsize": 8.5, "path_effects": outline}
    edge, zero = _across(math.inf), _up(0.0)
    ax.plot([_across(w) for w in SIZES], [_up(w) for w in SIZES], linestyle="--", **line)
    ax.plot([_across(FINITE[0]), _across(FINITE[-1])], [zero, zero], linestyle=":", **line)
    for x, y, shape in (
        (edge, zero, "o"),
        (edge, _up(2.0), "^"),
        (edge, _up(-2.0), "v"),
        (_across(1.0), _up(1.0), "s"),
    ):
        ax.plot(x, y, shape, color="w", markeredgecolor="k", markersize=7, zorder=5)
    if named:
        for name, y in (("SOC: iLQG", zero + 1.0), ("RSOC seeking", _up(2.0)), ("RSOC averse: LEQG", _up(-2.0))):
            ax.annotate(name, (edge - 1.6, y), ha="right", va="center" if y != zero + 1.0 else "bottom", **text)
        ax.annotate("AICO", (_across(1.0) + 1.2, _up(1.0) - 2.2), **text)
        ax.annotate("SP-SOC: Psi-iteration", (_across(0.12), zero - 2.6), **text)
        ax.annotate("synchronized: PPI", (_across(6.0), _up(10.0)), ha="right", **text)


def _across(weight):
    """Place of a weight of the policy."""
    if weight == 0.0 or math.isinf(weight):
        return 0.5 * EDGE if weight == 0.0 else 1.5 * EDGE + len(FINITE)
    return EDGE + 0.5 + math.log(weight / FINITE[0]) / math.log(FINITE[-1] / FINITE[0]) * (len(FINITE) - 1)


def _up(weight):
    """Place of a weight of transitions."""
    middle = float(len(SIZES))
    if weight == 0.0:
        return middle
    away = 1.0 + math.log(abs(weight) / SIZES[0]) / math.log(SIZES[-1] / SIZES[0]) * (len(SIZES) - 1)
    return middle + math.copysign(away, weight)
