"""The barrier problem that the interior point solves: its records, its limits, and how far a point is from solving it.

    minimize  J(x, u) - mu sum log(v - low) - mu sum log(high - v)     v: the controls, and the states after the first

A. Wachter and L. T. Biegler (Mathematical Programming 106, 2006), called IPOPT below. States and controls count in the
scales of the path that the search began at, costs in what its stages cost.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ppi_robotics.kernels.trajectories import add_barrier, complementarity, largest, log_slacks, stationarity
from ppi_robotics.recursion import BackwardPass, LocalModel
from ppi_robotics.scales import Scales
from ppi_robotics.steps.base import Iterate, objective


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate: trajectory, gaps c of the dynamics, infeasibility theta, objective, sum of the slacks' logarithms.

    theta is sum |c| over the scales of the state.
    """

    x: np.ndarray
    u: np.ndarray
    w: np.ndarray
    c: np.ndarray
    theta: float
    cost: float
    logs: float

    def phi(self, iterate: "BarrierIterate") -> float:
        """Barrier objective for the weight that an iterate has, in costs of a stage."""
        return (self.cost - iterate.mu * self.logs) / iterate.scales.cost


@dataclass(frozen=True, slots=True)
class BarrierIterate(Iterate):
    """A trajectory with its multipliers.

    Attributes:
      y: multipliers of the dynamics (T, nx).
      lower, upper: multipliers of the limits of u (T, nu) and of x_1 to x_T (T, nx), a pair of arrays each.
      scales: `Scales` of the path that it began at, the units of what the filter compares.
      mu: barrier weight.
      filter: pairs (theta, phi); no later iterate may be worse than one of them in both.
      failures: line searches that failed in a row.
      sweep: last backward pass that was completed.
      last_damping: the last one that was above 0; 0 before the first.
      stalled: whether the last step has hardly changed the cost, and better ones are not to be had.
      here: `Point` of the path, or of another one where that has been replaced.
      gaps: what a search that restores feasibility remembers.
    """

    y: np.ndarray | None = None
    lower: tuple = ()
    upper: tuple = ()
    scales: Scales | None = None
    mu: float = 0.0
    filter: tuple = ()
    failures: int = 0
    sweep: BackwardPass | None = None
    last_damping: float = 0.0
    stalled: bool = False
    here: Point | None = None
    gaps: object = None


@dataclass(frozen=True, slots=True)
class Direction:
    """A Newton step: changes of the trajectory, new multipliers, and the longest steps inside the limits."""

    dx: np.ndarray
    du: np.ndarray
    dw: np.ndarray
    y: np.ndarray
    d_lower: tuple
    d_upper: tuple
    slope: float
    primal: float
    dual: float


def units(scales: Scales) -> tuple:
    """Scales of the limited quantities."""
    return scales.control, scales.state


def limited(problem, x, u, margin: float) -> tuple:
    """The limited quantities and their limits: controls, and states after the first, whose limits have a margin."""
    plant = problem.plant
    if plant.quaternions:  # such plants have no state limits
        return (u, plant.control_limits), (np.zeros((len(u), plant.ndx)), plant.state_limits[: plant.ndx])
    limits = _narrowed(plant.state_limits.tobytes(), problem.scales.state.tobytes(), margin)
    return (u, plant.control_limits), (x[1:], limits)


@functools.lru_cache(maxsize=64)
def _narrowed(limits, scales, margin):
    """State limits (nx, 2), given by their bytes, narrowed by a margin over the scales (nx,)."""
    spare = margin * np.frombuffer(scales)
    return np.frombuffer(limits).reshape(-1, 2) + np.column_stack((spare, -spare))


def add_barriers(sets, iterate: BarrierIterate, model: LocalModel) -> None:
    """Add the barriers of the `limited` quantities to a local model, in place."""
    parts = (model.Cuu, model.cu), (model.Cxx[1:], model.cx[1:])
    for (v, limits), lower, upper, (H, g) in zip(sets, iterate.lower, iterate.upper, parts, strict=True):
        add_barrier(v, limits, lower, upper, iterate.mu, H, g)


def point(problem, x, u, w, scales: Scales, margin: float, lambda_transition: float) -> Point:
    """The `Point` of a trajectory."""
    sets, plant = limited(problem, x, u, margin), problem.plant
    c = plant.difference(plant.step(x[:-1], u), x[1:]) + w @ plant.noise.factor.T
    logs = sum(log_slacks(*pair, unit) for pair, unit in zip(sets, units(scales), strict=True))
    cost = objective(problem, x, u, w, lambda_transition)
    return Point(x, u, w, c, float((np.abs(c) @ (1.0 / scales.state)).sum()), cost, logs)


def optimality_error(sets, model: LocalModel, gaps, iterate: BarrierIterate, lambda_transition) -> Callable:
    """Scaled optimality error E(mu) of the barrier problem, a function of the weight mu (IPOPT, equation 5).

    Args:
      sets: the `limited` quantities.
      model: local model without barriers.
      gaps: of the dynamics (T, ndx), disturbances included.
      iterate: where the multipliers are from.
      lambda_transition: as the search has it.
    """
    scales = iterate.scales
    sets = [
        (*pair, lower, upper, unit)
        for pair, lower, upper, unit in zip(sets, iterate.lower, iterate.upper, units(scales), strict=True)
    ]
    products, weights = zip(*(complementarity(*part[:4], 0.0, part[4]) for part in sets), strict=True)
    total = float((np.abs(iterate.y) @ scales.state).sum()) + sum(weights)
    count = iterate.y.size + sum(2 * part[0].size for part in sets)
    scale = scales.cost * max(100.0, total / scales.cost / count) / 100.0
    zu, zx = (upper - lower for lower, upper in zip(iterate.lower, iterate.upper, strict=True))
    zx = np.vstack((np.zeros((1, zx.shape[1])), zx))
    multipliers = iterate.w, iterate.y, zx, zu, lambda_transition
    dual = stationarity(model.A, model.B, model.G, model.cx, model.cu, *multipliers, scales.state, scales.control)
    rest = max(dual / scale, largest(gaps, scales.state))

    def error(mu):
        gap = max(complementarity(*part[:4], mu, part[4])[0] for part in sets) if mu else max(products)
        return max(rest, gap / scale)

    return error


def lower_mu(mu, unit):
    """The next barrier weight (IPOPT, equation 7), for costs that count in a unit."""
    return min(0.2 * mu, mu * (mu / unit) ** 0.5)
