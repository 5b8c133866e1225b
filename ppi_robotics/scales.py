"""How large the states, the controls and the cost of a problem are: what "small", "far" and "at random" refer to.

A problem in other units is the same problem. So nothing is compared with a number of its own: every scale is made of
quantities that change with the unit, and those of other coordinates enter through the derivatives that tie them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ppi_robotics.gaussian import frozen
from ppi_robotics.manifold import difference, origin
from ppi_robotics.streams import DIVERGED, SHORT_OF_INFINITY

if TYPE_CHECKING:
    from ppi_robotics.problem import Plant, Problem

MOVED = 1e-2  # of the way that constant controls of full scale would move a state over the horizon
DAMPING = 10.0  # costs of a stage, the price of a move by one scale under a damping of 1


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales of a problem, 0 where nothing determines a coordinate's; or along a path, never 0.

    Attributes:
      state: in the tangent of the state (ndx,).
      control: (nu,); half the range where a control has one.
      cost: of a stage.
    """

    state: np.ndarray
    control: np.ndarray
    cost: float

    def damping(self, level: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Diagonals (ndx,) and (nu,) of a quadratic price on moves: Levenberg-Marquardt's damping in these scales."""
        price = level * DAMPING * self.cost
        return price / self.state**2, price / self.control**2


def along(problem: "Problem", x: np.ndarray, u: np.ndarray, cost: float) -> Scales:
    """`Scales` along a path x (T + 1, nx), u (T, nu) of a problem, given its cost."""
    scales = problem.scales
    state = np.maximum(scales.state, np.abs(tangent(problem.plant, x)).max(axis=0))
    control = np.maximum(scales.control, np.abs(u).max(axis=0))
    stage = abs(cost) / len(u) if np.isfinite(cost) and cost != 0.0 else scales.cost
    return Scales(np.where(state > 0.0, state, 1.0), np.where(control > 0.0, control, 1.0), stage or 1.0)


def far(problem, x, scales=DIVERGED):
    """Whether any of the states x (N, nx) of a problem is beyond so many scales, or not a number."""
    state = problem.scales.state
    return not (np.abs(tangent(problem.plant, x)) <= np.where(state > 0.0, scales * state, np.inf)).all()


def nearness(problem: "Problem", x: np.ndarray) -> np.ndarray:
    """Factors (nx,) that make states of a problem 1 where they are far, about a path x (T, nx) of flat states.

    Where nothing tells of a state, that is at 1e300, short of infinity.
    """
    sizes = np.maximum(problem.scales.state, np.abs(x).max(axis=0))
    return 1.0 / np.where(sizes > 0.0, DIVERGED * sizes, SHORT_OF_INFINITY)


def tangent(plant: "Plant", x: np.ndarray) -> np.ndarray:
    """States x (N, nx) as tangents (N, ndx) from the origin."""
    if not plant.quaternions:
        return x
    return difference(x, origin(plant.nx, plant.quaternions), plant.quaternions)


def scales_of(problem: "Problem") -> Scales:
    """`Scales` of a problem, from its start, limits, noise, and the derivatives of plant and cost at the start.

    Where a control is not limited on both sides, its scale is a third of the constant control whose own price is that
    of staying at the start; else what moves a state by its scale in one stage; else its limit. The scale of a state is
    the largest of its start, its goal, its limits, the standard deviation of its noise over the horizon, and a
    hundredth of what controls of full scale would move it by in one horizon.
    """
    plant, T = problem.plant, problem.horizon
    rest = np.clip(np.zeros(plant.nu), *plant.control_limits.T)
    x, u = np.tile(problem.initial.mean, (2, 1)), rest[None]
    (xn, A, B), (c0, _, _, Cxx, _, Cuu) = problem.cost.expand(plant, x, u)
    known = known_sizes(problem)
    cov = problem.initial.cov + 0.5 * T * plant.noise.process
    noisy = 0.5 * np.abs(np.array([T * Cxx[0], Cxx[1]]) * cov).sum()
    cost = T * abs(c0[0]) + abs(c0[1]) + noisy
    if cost == 0.0:  # at rest nothing costs, but the plant does not stay there
        drift = T * plant.difference(xn, x[:1])[0]
        cost = T * np.abs(Cxx[0] * np.multiply.outer(drift, drift)).sum()
    control = control_scale(plant, T, cost, np.diag(Cuu[0]), B[0], known)
    state = np.maximum(known, MOVED * reached(A[0], B[0], control, T))
    return Scales(frozen(state), frozen(control), float(cost) / T)


def known_sizes(problem: "Problem", limits: bool = True) -> np.ndarray:
    """Sizes (ndx,) of the state that the problem itself states: start, goal, noise and, if so wanted, limits."""
    plant = problem.plant
    sizes = [np.sqrt(np.diag(problem.initial.cov)), np.sqrt(problem.horizon * np.diag(plant.noise.process))]
    sizes.append(np.abs(tangent(plant, problem.initial.mean)))
    goal = getattr(getattr(problem.cost, "given", None), "goal", None)
    if goal is not None:
        sizes.append(np.abs(tangent(plant, goal)))
    if limits and not plant.quaternions:  # states with some have no limits
        ends = np.abs(plant.state_limits)
        sizes.append(np.where(np.isfinite(ends), ends, 0.0).max(axis=1))
    return np.max(sizes, axis=0)


def control_scale(plant, T, cost, price, B, known):
    """Scales (nu,) of the controls, for the cost of staying, curvatures `price` (nu,) and sizes of states (ndx,)."""
    low, high = plant.control_limits.T
    with np.errstate(divide="ignore", invalid="ignore"):
        effort = np.sqrt(2.0 * cost / (T * price)) / 3.0
        reach = np.where((B != 0.0) & (known > 0.0)[:, None], known[:, None] / np.abs(B), np.inf).min(axis=0)
    ends = np.where(np.isfinite(plant.control_limits), np.abs(plant.control_limits), 0.0).max(axis=1)
    scale = np.where(np.isfinite(reach), reach, ends)
    scale = np.where((price > 0.0) & (cost > 0.0) & np.isfinite(effort), effort, scale)
    width = (high - low) / 2.0
    return np.where(np.isfinite(width), width, scale)


def reached(A, B, control, T):
    """Sizes (ndx,) of what constant controls move over T stages, directly and through what they move directly.

    What they move only by way of others is counted by the shortest way, so that no unstable motion builds up.
    """
    sizes, coupling = T * np.abs(B) @ control, T * np.abs(A - np.eye(len(A)))
    sizes = np.maximum(sizes, coupling @ sizes)
    for _ in range(len(A)):
        sizes = np.where(sizes == 0.0, coupling @ sizes, sizes)
    return sizes
