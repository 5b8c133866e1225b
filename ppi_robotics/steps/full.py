"""Multiple shooting with full steps."""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.kernels.trajectories import largest
from ppi_robotics.linearize import SigmaPoints
from ppi_robotics.recursion import backward, forward
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.status import Breakdown
from ppi_robotics.steps.newton import Newton, swept_step
from ppi_robotics.steps.phase import Iterate, Phase, broke_down, objective, price, whole_step
from ppi_robotics.streams import DIVERGED
from ppi_robotics.values import joint_covariances


@dataclass(frozen=True)
class FullSteps(Phase):
    """Multiple shooting with full steps: the iterated extended Kalman smoother.

    States are iterates of their own, joined only at convergence, so that a start need not obey the dynamics.

    Attributes:
      lambda_transition: at least 0.
      tolerance: converged once no state or control changes by more, over its size along the path.
      points: `SigmaPoints` that stand for the belief in the local models; None takes derivatives at its mean.
    """

    lambda_transition: float = 0.0
    tolerance: float = 1e-5
    points: SigmaPoints | None = None
    name = "full steps"
    free = True

    def begin(self, problem, x, u):
        """Iterate at a guess."""
        w = np.zeros((len(u), problem.plant.noise.columns))
        plain = self.points is None and Newton.applies(problem)
        return Iterate(x, u, w, memory=Newton(problem) if plain else None)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate), None

    def advance(self, problem, iterate, index):
        """Expand, sweep backward and forward, take the whole step."""
        newton, step = iterate.memory, None
        if newton is not None:
            step = newton.full_step(iterate.x, iterate.u, iterate.w, self.lambda_transition)
        if step is None:
            step = self._step(problem, iterate)
        if isinstance(step, Breakdown):
            return replace(iterate, status=broke_down(step), breakdown=step), None
        x, u, w, (cost, defect, dx_size, du_size, x_size, u_size), *spread = step
        if not dx_size + du_size + u_size < math.inf or x_size > DIVERGED:
            return replace(iterate, status=Status.DIVERGED), None
        change = max(dx_size, du_size)
        # the cost is that of the path that was expanded: the next one's comes with its own expansion
        still = abs(cost - iterate.cost) < 1e-7 * abs(cost) and change < 100 * self.tolerance
        status = Status.CONVERGED if change < self.tolerance or still else None
        if status is not None and self.points is None:
            cost = objective(problem, x, u, w, self.lambda_transition)
        row = Iteration(index, self.name, cost, defect, change, 1.0, 0.0, 0.0)
        return Iterate(x, u, w, cost, status, True, None, 0.0, 1.0, newton, *spread), row

    def _step(self, problem, iterate):
        """What `Newton.full_step` returns and, with sigma points, the spread; or the `Breakdown` of the sweep."""
        model, _ = self.expand(problem, iterate)
        spread = self.points is not None
        if not (spread and problem.initial.cov.any()) and not problem.plant.quaternions:
            scales = problem.scales.state, problem.scales.control
            step = swept_step(model, iterate.x, iterate.u, iterate.w, self.lambda_transition, scales, spread)
            if step is not None:
                return step
        sweep = backward(model, math.inf, self.lambda_transition)
        if sweep.breakdown is not None:
            return sweep.breakdown
        dx, du, w, _ = forward(model, sweep)
        x, u, *sizes = whole_step(problem, iterate, dx, du)
        cost = float(model.c0.sum()) + price(iterate.w, self.lambda_transition)
        spread = None if self.points is None else joint_covariances(model, sweep, problem.initial.cov, True)
        return x, u, w, (cost, largest(model.d, problem.scales.state), *sizes), spread
