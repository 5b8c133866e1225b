"""How large the states, the controls and the cost of a problem are: what "small", "far" and "at random" refer to.

A problem in other units is the same problem. So nothing is compared with a number of its own: every scale is made of
quantities that change with the unit, and those of other coordinates enter through the derivatives that tie them.
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.gaussian import frozen
from ppi_robotics.manifold import difference, origin

FAR = 1e8  # scales, from which on a state counts as diverged
MOVED = 1e-2  # of the way that constant controls of full scale would move a state over the horizon
LEAST = 1e-3  # of a scale: what has stayed smaller on a whole path is measured by this


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales of a problem; 0 where nothing tells of a coordinate.

    Attributes:
      state: in the tangent of the state (ndx,).
      control: (nu,); half the range where a control has one.
      cost: of the horizon, of one stage and of the end, where nothing moves.
    """

    state: np.ndarray
    control: np.ndarray
    cost: float

    @property
    def least(self):
        """Sizes (ndx,) and (nu,) that changes are measured by at least."""
        return LEAST * self.state, LEAST * self.control

    def far(self, plant, x, scales=FAR):
        """Whether any of the states x (N, nx) is beyond so many scales, or not a number."""
        sizes = np.abs(difference(x, origin(plant.nx, plant.quaternions), plant.quaternions))
        return not (sizes <= np.where(self.state > 0.0, scales * self.state, np.inf)).all()


def scales_of(problem):
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
    spread = problem.initial.cov + 0.5 * T * plant.noise.process
    noisy = 0.5 * np.abs(np.array([T * Cxx[0], Cxx[1]]) * spread).sum()
    cost = T * abs(c0[0]) + abs(c0[1]) + noisy
    if cost == 0.0:  # at rest nothing costs, but the plant does not stay there
        drift = T * plant.difference(xn, x[:1])[0]
        cost = T * np.abs(Cxx[0] * np.multiply.outer(drift, drift)).sum()
    control = control_scale(plant, T, cost, np.diag(Cuu[0]), B[0], known)
    state = np.maximum(known, MOVED * reached(A[0], B[0], control, T))
    return Scales(frozen(state), frozen(control), float(cost))


def known_sizes(problem):
    """Sizes (ndx,) of the state that the problem itself tells: start, goal, limits and noise."""
    plant = problem.plant
    nowhere = origin(plant.nx, plant.quaternions)
    sizes = [np.sqrt(np.diag(problem.initial.cov)), np.sqrt(problem.horizon * np.diag(plant.noise.process))]
    sizes.append(np.abs(difference(problem.initial.mean, nowhere, plant.quaternions)))
    goal = getattr(getattr(problem.cost, "given", None), "goal", None)
    if goal is not None:
        sizes.append(np.abs(difference(goal, nowhere, plant.quaternions)))
    if not plant.quaternions:  # states with some have no limits
        limits = np.abs(plant.state_limits)
        sizes.append(np.where(np.isfinite(limits), limits, 0.0).max(axis=1))
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
