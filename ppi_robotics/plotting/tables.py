"""Figures of finite problems: values and policies over maps, errors, and the recursion with its two weights.

ax = plotting.tables.value_map(world, solution.value, solution.policy)
ax.figure.savefig("value.png")

axes = plotting.tables.plane(*random_problem())
axes[0].figure.savefig("plane.png")
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ppi_robotics.discrete import Descent, FiniteMDP, Iterations, Learning, mean_and_variance, sample_integral, solve
from ppi_robotics.plotting.theme import (
    CONFIDENCE,
    ON_LINES,
    SHADES,
    VERMILION,
    Page,
    Panel,
    Panels,
    color,
    number,
    style,
)

MOST_ARROWS = 2500  # states up to which the policy is drawn
FINITE = np.geomspace(0.1, 100.0, 40)  # weights of the policy that the plane is drawn at, between 0 and infinity
EDGE = 5.0  # width of the columns of 0 and infinity, that of the others being 1
SIZES = np.geomspace(0.1, 30.0, 28)
TRANSITION = np.concatenate((-SIZES[::-1], [0.0], SIZES))
PAIRED = 8  # iterations whose costs and bounds are drawn one by one
LEAST = 1e-10  # excess below which digits end


def value_map(
    world: Any,
    value: np.ndarray,
    policy: np.ndarray,
    ax: Axes | None = None,
    title: str = "expected cost to the target",
) -> Panel:
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
            page = Page(width, max(0.85 * width * rows / columns, 1.5) + 0.3)
            page.set_layout_engine("constrained")
            return value_map(world, value, policy, page.add_subplot(), title)
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
    ax.plot(column, row, "*", color=VERMILION, markersize=11, linestyle="none")
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[], title=title)
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    return ax


def learning_curves(results: Mapping[str, Learning], ax: Axes | None = None) -> Panel:
    """Error of learned values over transitions: mean of the trials, with bands of 95 % intervals of the mean.

    Args:
      results: names and `Learning`s; those of the same beginning have the same color, online behavior is dashed.
      ax: axes; a new figure if None.

    Returns:
      The axes.
    """
    if ax is None:
        with style():
            return learning_curves(results, Page(6.4, 4.2).add_subplot())
    for name, result in results.items():
        shade, half = _shade(name), CONFIDENCE * result.standard_error
        dash = "--" if result.behavior == "online" else "-"
        ax.plot(result.transitions, result.mean, dash, color=shade, label=name)
        if np.isfinite(half).all():
            low = np.maximum(result.mean - half, 0.1 * result.mean)  # a logarithmic axis shows nothing below 0
            ax.fill_between(result.transitions, low, result.mean + half, color=shade, alpha=0.15, linewidth=0)
    trials = {len(result.error) for result in results.values()}
    ax.set_title(f"error of learned values, {'/'.join(map(str, sorted(trials)))} trials")
    return _finish_errors(ax, "transitions")


def iteration_errors(results: Mapping[str, Iterations], ax: Axes | None = None) -> Panel:
    """Error over iterations with the model known.

    Args:
      results: names and `Iterations` with errors.
      ax: axes; a new figure if None.

    Returns:
      The axes.
    """
    if ax is None:
        with style():
            return iteration_errors(results, Page(6.4, 4.2).add_subplot())
    for name, result in results.items():
        ax.plot(np.arange(1, 1 + len(result.error)), result.error, color=_shade(name), label=name)
    ax.set_title("error of values, model known")
    return _finish_errors(ax, "iterations")


def plane(mdp: FiniteMDP, log_rho: np.ndarray, state: int = 0, axes: Sequence[Axes] | None = None) -> Panels:
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
            return plane(mdp, log_rho, state, Page(10.4, 4.9).subplots(1, 2))
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


def descents(found: Mapping[str, tuple[Descent, np.ndarray]], axes: Sequence[Axes] | None = None) -> Panels:
    """Excess of the cost over the optimum by iteration, and the first costs and bounds one by one.

    Args:
      found: names, and pairs of `Descent` and the values (S,) that it goes to.
      axes: two axes; a new figure if None.

    Returns:
      The two axes.
    """
    if axes is None:
        with style():
            return descents(found, Page(9.6, 4.3).subplots(1, 2))
    longest = 0
    for i, (name, (descent, optimum)) in enumerate(found.items()):
        gap, shade = descent.gap(optimum), SHADES[i % len(SHADES)]
        longest = max(longest, int(np.sum(gap > LEAST)))
        axes[0].semilogy(np.where(gap > LEAST, gap, np.nan), color=shade, label=name)
        _pair_with_bounds(axes[1], descent, optimum, shade)
    axes[0].set(title="largest excess of the cost N(π) over the optimum", xlabel="iteration", xlim=(0, longest))
    axes[0].legend(loc="best", **ON_LINES)
    axes[1].set(title="costs N(π) (dots) and bounds V (ticks) between them", xlabel="iteration", yscale="log")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def estimates(
    mdp: FiniteMDP,
    log_rho: np.ndarray,
    weight: float,
    state: int,
    samples: int,
    repeats: int,
    axes: Sequence[Axes] | None = None,
) -> Panels:
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
            return estimates(mdp, log_rho, weight, state, samples, repeats, Page(9.6, 4.0).subplots(1, 2))
    exact, shade = solve(mdp, weight, weight, log_rho), color("PPI")
    bar = {"fmt": "o", "markersize": 4, "capsize": 2.5, "elinewidth": 1.2}
    for count in np.unique(np.geomspace(min(100, samples), samples, 9).astype(int)):
        found = [sample_integral(mdp, weight, state, 0, int(count), seed, log_rho) for seed in range(repeats)]
        first = found[0]
        axes[0].plot([1.12 * count] * repeats, [one.value for one in found], ".", color="0.65", markersize=4, zorder=1)
        axes[0].errorbar(count, first.value, CONFIDENCE * first.standard_error, color=shade, **bar)
        for u, (p, error) in enumerate(zip(first.policy, first.policy_standard_error, strict=True)):
            axes[1].errorbar(count, p, CONFIDENCE * error, color=SHADES[u % len(SHADES)], **bar)
    axes[0].axhline(exact.value[0, state], color="0.1", linewidth=1.0, label="exact")
    axes[0].plot([], [], "o", color=shade, markersize=4, label="seed 0, with its 95 % interval")
    axes[0].plot([], [], ".", color="0.65", label=f"{repeats} seeds")
    for u, p in enumerate(exact.policy[0, state]):
        axes[1].axhline(p, color=SHADES[u % len(SHADES)], linewidth=1.0, label=f"action {u}, exact")
    for ax, title in zip(axes, ("value", "probability of the first action"), strict=True):
        ax.legend(loc="best", **ON_LINES)
        ax.set(title=f"{title} at state {state}, weight {weight:g}", xlabel="trajectories", xscale="log")
    return axes


def _shade(name):
    """Color of a method by the beginning of its name; some take a further color each, in every figure."""
    others = ("Q", "value iteration", "DPP")
    return color(name, next((i for i, start in enumerate(others) if name.startswith(start)), len(others)))


def _finish_errors(ax, name):
    ax.set(yscale="log", xlabel=name, ylabel="largest error relative to the largest value")
    ax.legend()
    return ax


def _pair_with_bounds(ax, descent, optimum, shade):
    """N(pi^k) at k and V^(k) at k + 1/2, less the optimum, at the state where the first excess is largest."""
    state = int(np.argmax(descent.cost[0] - optimum))
    count = min(PAIRED, descent.iterations)
    chain = np.empty(2 * count + 1)
    chain[::2] = descent.cost[: count + 1, state] - optimum[state]
    chain[1::2] = descent.bound[:count, state] - optimum[state]
    chain = np.where(chain > LEAST, chain, np.nan)
    ax.plot(np.arange(2 * count + 1) / 2, chain, color=shade, linewidth=0.8)
    ax.plot(np.arange(count + 1), chain[::2], "o", color=shade, markersize=4)
    ax.plot(np.arange(count) + 0.5, chain[1::2], "_", color=shade, markersize=9, markeredgewidth=1.8)


def _name_weights(ax):
    """Ticks of the plane."""
    policy = [0.0, 0.1, 1.0, 10.0, 100.0, math.inf]
    transition = [-30.0, -10.0, -3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 3.0, 10.0, 30.0]
    ax.set_xticks([_across(w) for w in policy], ["0", "0.1", "1", "10", "100", "∞"])
    ax.set_yticks([_up(w) for w in transition], [number(w) for w in transition])
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
    for x, y, shape in (edge, 0.0, "o"), (edge, 2.0, "^"), (edge, -2.0, "v"), (_across(1.0), 1.0, "s"):
        ax.plot(x, _up(y), shape, color="w", markeredgecolor="k", markersize=7, zorder=5)
    if named:
        for name, y in (("SOC: iLQG", zero + 2.0), ("RSOC seeking", _up(2.0)), ("RSOC averse: LEQG", _up(-2.0))):
            ax.annotate(name, (edge - 1.6, y), ha="right", va="center", **text)
        ax.annotate("AICO", (_across(1.0) + 1.2, _up(1.0) - 2.2), **text)
        ax.annotate("SP-SOC: Psi-iteration", (_across(0.12), zero - 2.6), **text)
        ax.annotate("synchronized: PPI", (_across(6.0), _up(10.0)), ha="right", **text)


def _across(weight):
    """Place of a weight of the policy."""
    ends = {0.0: 0.5 * EDGE, math.inf: 1.5 * EDGE + len(FINITE)}
    return ends.get(weight) or EDGE + 0.5 + np.interp(math.log(weight), np.log(FINITE), np.arange(len(FINITE)))


def _up(weight):
    """Place of a weight of transitions."""
    return np.interp(weight, TRANSITION, np.arange(len(TRANSITION)))
