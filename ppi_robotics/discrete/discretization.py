"""Continuous problems of few states on a grid, where the recursion is exact for any weights.

A next state f(x, u) + w between grid points becomes a lottery over the corners of its cell, with the weights of
multilinear interpolation, w as the points of a Gauss-Hermite rule. The lottery has the right mean; its variance is too
large by up to h^2 / 4 a stage for cells of width h, so that values converge with the square of h, and risk weights need
cells that are small against the noise. Controls are the given ones alone.

H. Kushner and P. Dupuis, *Numerical Methods for Stochastic Control Problems in Continuous Time* (2001); R. Munos and
A. Moore, *Variable resolution discretization in optimal control* (2002).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse, special

from ppi_robotics.checks import (
    as_finite,
    as_floats,
    check_choice,
    check_count,
    check_counts,
    check_instance,
    check_number,
    check_sequence,
)
from ppi_robotics.discrete.bellman import as_baseline, backup, check_weights
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem

MOST_ENTRIES = 3e8  # of a transition matrix, 3.6 GB
MOST_POINTS = 10_000_000  # of an axis
OUTSIDE = ("clamp", "forbid")


@dataclass(frozen=True, eq=False)
class Grid(Record):
    """A rectangular grid of states.

    Attributes:
      axes: increasing coordinates of every entry of the state, at least two each.
      periods: of entries that wrap around, such as 2 pi, else None; (None, ...) by default. The coordinates of one that
        wraps span less than its period, the last cell leading back to the first.

    Raises:
      ProblemError: if coordinates do not increase, or span a period.
    """

    axes: Sequence[ArrayLike]
    periods: Sequence[float | None] = ()

    def __post_init__(self):
        axes = check_sequence(self.axes, "axes", "axes")
        axes = tuple(frozen(as_finite(axis, f"axis {i}", (None,))) for i, axis in enumerate(axes))
        periods = _periods(self.periods, len(axes))
        if not axes:
            raise ProblemError("axes is empty; give one for each entry of the state")
        for i, (axis, period) in enumerate(zip(axes, periods, strict=True)):
            if len(axis) < 2 or (np.diff(axis) <= 0).any():
                raise ProblemError(f"axis {i} does not increase, or has fewer than 2 coordinates")
            if period is not None and not np.ptp(axis) < period:
                raise ProblemError(f"axis {i} spans {np.ptp(axis):g}, its period is {period:g}; span less than it")
        vars(self).update(axes=axes, periods=periods)

    @classmethod
    def regular(
        cls, low: ArrayLike, high: ArrayLike, counts: Sequence[int], periods: Sequence[float | None] = ()
    ) -> Self:
        """A grid of equal cells from low to high (nx,); entries that wrap take their period from low on instead."""
        low = as_finite(low, "low", (None,))
        high, counts = as_finite(high, "high", low.shape), check_counts(counts, "counts", 2, MOST_POINTS, len(low))
        periods = _periods(periods, len(low))
        axes = tuple(
            np.linspace(a, b, n) if period is None else a + period * np.arange(n) / n
            for a, b, n, period in zip(low, high, counts, periods, strict=True)
        )
        return cls(axes, periods)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of coordinates of every entry."""
        return tuple(map(len, self.axes))

    @property
    def size(self) -> int:
        """Number of points S."""
        return math.prod(self.shape)

    @cached_property
    def points(self) -> np.ndarray:
        """Points (S, nx), the last entry changing fastest."""
        return frozen(np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(self.size, -1))

    def corners(self, x: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Interpolation at states x (N, nx).

        Returns:
          indices (N, 2^nx) of points, weights likewise, of sum 1, and whether states are inside (N,). Those outside are
          moved to the edge.
        """
        x = as_finite(x, "x", (None, len(self.axes)))
        count, lower, upper, share = len(x), [], [], []
        inside = np.ones(count, bool)
        for axis, period, value in zip(self.axes, self.periods, x.T, strict=True):
            if period is not None:
                value = axis[0] + np.mod(value - axis[0], period)
                axis = np.append(axis, axis[0] + period)
            inside &= (value >= axis[0]) & (value <= axis[-1])
            value = np.clip(value, axis[0], axis[-1])
            cell = np.clip(np.searchsorted(axis, value, side="right") - 1, 0, len(axis) - 2)
            lower.append(cell)
            upper.append((cell + 1) % (len(axis) - 1) if period is not None else cell + 1)
            share.append((value - axis[cell]) / (axis[cell + 1] - axis[cell]))
        indices, weights = np.empty((count, 2 ** len(lower)), np.int64), np.empty((count, 2 ** len(lower)))
        for k, ups in enumerate(itertools.product((False, True), repeat=len(lower))):
            place = [b if up else a for a, b, up in zip(lower, upper, ups, strict=True)]
            indices[:, k] = np.ravel_multi_index(place, self.shape)
            weights[:, k] = np.prod([s if up else 1.0 - s for s, up in zip(share, ups, strict=True)], axis=0)
        return indices, weights, inside

    def interpolate(self, values: ArrayLike, x: ArrayLike) -> np.ndarray:
        """Values (N,) between those of the points (S,), at states x (N, nx)."""
        indices, weights, _ = self.corners(x)
        return (weights * as_floats(values, "values", (self.size,))[indices]).sum(axis=1)


def _periods(given, count):
    """One period each, or None where an entry does not wrap."""
    given = check_sequence(given, "periods", "periods") or (None,) * count
    if len(given) != count:
        raise ProblemError(f"there are {len(given)} periods for {count} axes; give one each, or none")
    return tuple(None if one is None else check_number(one, f"periods[{i}]", above=0) for i, one in enumerate(given))


@dataclass(frozen=True, eq=False)
class GridProblem:
    """A continuous problem on a grid.

    Attributes:
      problem: the continuous one.
      mdp: `FiniteMDP` of the grid's points and the controls.
      grid: `Grid`.
      controls: (A, nu).
      noise_points: of the rule in every direction of the noise.
      clipped: share of transitions with a next state outside the grid.
    """

    problem: Problem
    mdp: FiniteMDP
    grid: Grid
    controls: np.ndarray
    noise_points: int
    clipped: float

    def values(
        self, lambda_policy: float = math.inf, lambda_transition: float = 0.0, baseline: ArrayLike | None = None
    ) -> np.ndarray:
        """V (T + 1, S) by the recursion, as of `solve`, without keeping a policy for every stage."""
        weights, T = check_weights(lambda_policy, lambda_transition), self.problem.horizon
        log_rho = as_baseline(self.mdp, baseline, T)
        V, Q = np.empty((T + 1, self.grid.size)), np.empty((self.grid.size, len(self.controls)))
        V[T] = self.mdp.terminal
        for t in reversed(range(T)):
            backup(self.mdp, t, log_rho[min(t, len(log_rho) - 1)], weights, V[t + 1], Q, V[t])
        return V

    def baseline(self, policy: LinearGaussianPolicy) -> np.ndarray:
        """Log probabilities (T, S, A) that a policy's controls are nearest to those of the grid, once within limits.

        Angles that wrap are taken as near to the policy's reference as they can be.

        Args:
          policy: `LinearGaussianPolicy` of the problem, with a covariance.

        Raises:
          ProblemError: if there are several controls, the grid's do not increase, or the policy does not fit or has no
            covariance.
        """
        u = self.controls[:, 0]
        if self.controls.shape[1] != 1 or (np.diff(u) <= 0).any():
            raise ProblemError(f"controls of shape {self.controls.shape} are no increasing values of one control")
        check_instance(policy, "policy", LinearGaussianPolicy).check(self.problem)
        if not (policy.cov > 0.0).all():
            raise ProblemError("the policy has stages of variance 0; give dataclasses.replace(policy, cov=...)")
        edges, wraps = (u[1:] + u[:-1]) / 2.0, [period is not None for period in self.grid.periods]
        periods = np.array([period or 1.0 for period in self.grid.periods])
        log_rho = np.empty((self.problem.horizon, self.grid.size, len(u)))
        for t, here in enumerate(log_rho):
            turns = wraps * np.round((self.grid.points - policy.x_ref[t]) / periods)
            mean = policy.mean(t, self.grid.points - turns * periods)
            below = special.ndtr((edges - mean) / math.sqrt(policy.cov[t, 0, 0]))
            sums = np.hstack((np.zeros((len(mean), 1)), below, np.ones((len(mean), 1))))
            with np.errstate(divide="ignore"):
                here[:] = np.log(np.diff(sums, axis=1))
        return log_rho

    def at_start(self, values: ArrayLike) -> float:
        """The value at the mean initial state, of V (T + 1, S) or of one stage's (S,)."""
        values = as_floats(values, "values")
        first = values if values.ndim == 1 else values[:1].reshape(-1)
        return float(self.grid.interpolate(first, self.problem.initial.mean[None])[0])

    def controls_at(self, ahead: ArrayLike, x: ArrayLike, controls: ArrayLike | None = None) -> np.ndarray:
        """Controls (N, nu) at states x (N, nx), which need not be points, least in c(x, u) + E V(next state).

        Args:
          ahead: V (S,) of the next stage.
          x: (N, nx).
          controls: (A, nu) to choose from; those of the grid by default.
        """
        x = as_finite(x, "x", (None, self.problem.plant.nx))
        controls = self.controls if controls is None else _as_controls(controls, self.problem.plant)
        Q = np.empty((len(x), len(controls)))
        for a, u in enumerate(controls):
            rows = np.ascontiguousarray(np.broadcast_to(u, (len(x), len(u))))
            moved, weights = next_states(self.problem.plant, x, rows, self.noise_points)
            expected = sum(p * self.grid.interpolate(ahead, to) for p, to in zip(weights, moved, strict=True))
            Q[:, a] = self.problem.cost.stage(x, rows) + expected
        return controls[np.argmin(Q, axis=1)]


def discretize(
    problem: Problem, grid: Grid, controls: ArrayLike, noise_points: int = 3, outside: str = "clamp"
) -> GridProblem:
    """A continuous problem as a finite one.

    Args:
      problem: `Problem` of a plant without quaternions.
      grid: `Grid` over its states, or one that `Grid.regular` makes.
      controls: (A, nu), within the plant's limits.
      noise_points: points of the Gauss-Hermite rule in every direction of the noise; 3 are exact for polynomials up to
        degree 5.
      outside: "clamp" moves next states outside the grid to its edge, "forbid" makes such controls cost infinity.

    Returns:
      `GridProblem`.

    Raises:
      ProblemError: if an argument cannot be used, or the matrix would not fit into memory.
    """
    noise_points = check_count(noise_points, "noise_points", 1, 20)
    check_choice(outside, "outside", OUTSIDE)
    controls, width = _checked(problem, grid, controls, noise_points)
    if getattr(problem.cost, "timed", False):
        raise ProblemError("the cost reads a clock, and a grid has the same cost in all stages; leave the clock out")
    plant, S, A = problem.plant, grid.size, len(controls)
    x, columns, shares = np.array(grid.points), np.empty((S, A, width), np.int32), np.empty((S, A, width))
    cost, inside = np.empty((S, A)), np.empty((S, A), bool)
    for a, u in enumerate(controls):
        rows = np.ascontiguousarray(np.broadcast_to(u, (S, len(u))))
        moved, weights = next_states(plant, x, rows, noise_points)
        parts = [grid.corners(to) for to in moved]
        columns[:, a] = np.hstack([indices for indices, _, _ in parts])
        shares[:, a] = np.hstack([p * share for p, (_, share, _) in zip(weights, parts, strict=True)])
        inside[:, a] = np.all([ok for _, _, ok in parts], axis=0)
        cost[:, a] = problem.cost.stage(x, rows)
    if outside == "forbid":
        cost = np.where(inside, cost, np.inf)
    matrix = sparse.csr_matrix(
        (shares.ravel(), columns.ravel(), np.arange(0, columns.size + 1, columns.shape[2])), shape=(S * A, S)
    )
    mdp = FiniteMDP(matrix, cost, problem.cost.terminal(x))
    return GridProblem(problem, mdp, grid, frozen(controls), noise_points, float(1.0 - inside.mean()))


def next_states(plant, x, u, noise_points):
    """Next states (K, N, nx) of states x (N, nx) and controls u (N, nu), and the weights (K,) of the noise's rule."""
    mean, noise = plant.step(x, u), plant.noise
    directions = noise.columns
    if not directions:
        return mean[None], np.ones(1)
    if noise.growing:
        factor, _ = noise.local(x, u, plant.linearize(x, u)[1])
    else:
        factor = noise.factor[None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(noise_points)
    weights = weights / weights.sum()
    z = np.array(list(itertools.product(nodes, repeat=directions)))
    p = np.array([math.prod(part) for part in itertools.product(weights, repeat=directions)])
    return mean + np.einsum("nir,kr->kni", factor, z), p


def _as_controls(controls, plant):
    """Controls (A, nu) to choose from."""
    controls = as_finite(controls, "controls", (None, plant.nu))
    if not len(controls):
        raise ProblemError("controls is empty; give one or more to choose from")
    return controls


def _checked(problem, grid, controls, noise_points):
    """Controls (A, nu), and the number of next points of a state and control."""
    check_instance(problem, "problem", Problem)
    check_instance(grid, "grid", Grid)
    plant = problem.plant
    if plant.quaternions:
        raise ProblemError(f"plant '{plant.name}' has quaternions, which no rectangular grid covers")
    if len(grid.axes) != plant.nx:
        raise ProblemError(f"the grid has {len(grid.axes)} axes; plant '{plant.name}' has {plant.nx} states")
    controls = _as_controls(controls, plant)
    low, high = plant.control_limits.T
    if (controls < low).any() or (controls > high).any():
        raise ProblemError(f"controls reach from {controls.min():g} to {controls.max():g}, beyond the plant's limits")
    width = 2**plant.nx * noise_points**plant.noise.columns
    entries = grid.size * len(controls) * width
    if entries > MOST_ENTRIES:
        raise ProblemError(
            f"{grid.size} points, {len(controls)} controls and {width} next points make {entries:.2g} entries; "
            f"give a grid of at most {MOST_ENTRIES:.0e}"
        )
    return controls, width
