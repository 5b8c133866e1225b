"""Relinearization about the closed loop, for risk-averse weights and for local models about rollouts."""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.gaussian import Gaussian
from ppi_robotics.kernels.trajectories import over_sizes
from ppi_robotics.linearize import SigmaPoints
from ppi_robotics.recursion import backward, forward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.status import Breakdown
from ppi_robotics.steps.phase import Iterate, Phase, broke_down, price
from ppi_robotics.values import initial_value, joint_covariances, model_cost


@dataclass(frozen=True)
class HalfSteps(Phase):
    """Relinearization about the closed loop with a fixed step: for risk-averse weights, whose objective is a saddle.

    Attributes:
      lambda_transition: any sign.
      tolerance: converged once the feedforward is smaller everywhere, over the size of the controls along the path.
      step: fraction of the feedforward that is taken.
      points: `SigmaPoints` that stand for the spread of rollouts in the local models; None takes derivatives.
    """

    lambda_transition: float
    tolerance: float = 1e-5
    step: float = 0.5
    points: SigmaPoints | None = None
    name = "relinearization"

    def begin(self, problem, x, u):
        """Iterate on the rollout of the guess's controls."""
        line = shooting(problem, no_limits(problem.plant.nu))
        x, u, cost = line.rollout(x, u)
        w = np.zeros((len(u), problem.plant.noise.columns))
        return Iterate(x, u, w, status=None if math.isfinite(cost) else Status.DIVERGED, memory=line)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate), None

    def advance(self, problem, iterate, index):
        """Expand about the rollout, sweep with the risk weight, follow the new policy part of the way."""
        model, _ = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition)
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown), None
        path = (iterate.x, iterate.u, sweep.K, sweep.k)
        _, cost, x, u, _ = iterate.memory.search(np.array([self.step]), math.inf, 0.0, 0.0, 0.0, *path)
        if not math.isfinite(cost):
            return replace(iterate, status=Status.DIVERGED), None
        change = over_sizes(np.abs(sweep.k).max(axis=0), np.abs(u).max(axis=0), problem.scales.control)
        broken = initial_value(sweep, Gaussian(np.zeros(problem.plant.ndx), problem.initial.cov))
        if isinstance(broken, Breakdown):
            return replace(iterate, status=broke_down(broken), breakdown=broken), None
        dx, du, w, _ = forward(model, sweep)
        merit = model_cost(model, dx, du) + price(w, self.lambda_transition)
        status = Status.CONVERGED if change < self.tolerance else None
        row = Iteration(index, self.name, merit, 0.0, change, self.step, 0.0, 0.0)
        spread = None if self.points is None else joint_covariances(model, sweep, problem.initial.cov, False)
        return replace(iterate, x=x, u=u, cost=merit, swept=True, status=status, spread=spread), row
