"""Records of the barrier problem that the interior point solves."""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.recursion import BackwardPass
from ppi_robotics.scales import Scales


@dataclass(frozen=True, slots=True)
class Memory:
    """What the interior point carries besides the trajectory.

    Attributes:
      y: multipliers of the dynamics (T, nx).
      lower, upper: multipliers of the limits of u (T, nu) and of x_1 to x_T (T, nx), a pair of arrays each.
      scales: `Scales` of the path that it began at, the units of what the filter compares.
      mu: barrier weight.
      filter: pairs (theta, phi); no later iterate may be worse than one of them in both.
      failures: line searches that failed in a row.
      sweep: last backward sweep that was completed.
      gaps: what a search that restores feasibility remembers.
      damping: the last one that was above 0; 0 before the first.
      stalled: whether the last step has hardly changed the cost, and better ones are not to be had.
      here: `Point` of the path, or of another one where that has been replaced.
    """

    y: np.ndarray
    lower: tuple
    upper: tuple
    scales: Scales
    mu: float
    filter: tuple = ()
    failures: int = 0
    sweep: BackwardPass | None = None
    damping: float = 0.0
    gaps: object = None
    stalled: bool = False
    here: "Point | None" = None


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

    def phi(self, memory):
        """Barrier objective for the weight that a `Memory` has, in costs of a stage."""
        return (self.cost - memory.mu * self.logs) / memory.scales.cost


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
