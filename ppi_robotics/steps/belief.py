"""AICO's own iteration: messages about a belief, damped, and sent again from where the belief has moved to.

The belief b ~ forward message x backward message x task message is the mean path under the soft policy and the tilted
dynamics, so that the two sweeps are the messages; the sum of the backward and the task message is exp(-V).

M. Toussaint, *Robot trajectory optimization using approximate inference* (ICML 2009).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.kernels.trajectories import largest
from ppi_robotics.linearize import taylor
from ppi_robotics.recursion import backward, forward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.scales import along
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.steps.phase import Iterate, Phase, broke_down, disturbance_gain, objective, whole_step
from ppi_robotics.streams import DIVERGED

FIRST_DAMPING = 1e-3
BACKTRACKS = 10


@dataclass(frozen=True, slots=True)
class Memory:
    """Line of rollouts, weights of the damping (ndx,), and the local model with the path that it was made about."""

    shooting: object
    weights: np.ndarray
    model: object = None
    x: np.ndarray | None = None


@dataclass(frozen=True)
class BeliefSteps(Phase):
    """Iterated messages with a damped belief.

    A precision D about the last accepted belief is added to every state's message. D is divided by 5 where the rollout
    of the belief's policy costs no more than the last accepted one, else multiplied by 10 and the belief restored.

    Attributes:
      lambda_transition: above 0; 1 for AICO.
      tolerance: converged once no state or control changes by more, over its size along the path. The model is made
        anew once the belief has moved.
    """

    lambda_transition: float = 1.0
    tolerance: float = 1e-5
    name = "belief"
    free = True

    def begin(self, problem, x, u):
        """Iterate at a guess."""
        line = shooting(problem, no_limits(problem.plant.nu), 1.0 / self.lambda_transition)
        *_, cost = line.rollout(x, u)
        weights = replace(along(problem, x, u, cost), cost=1.0 / self.lambda_transition).damping()[0]
        return Iterate(x, u, np.zeros((len(u), problem.plant.noise.columns)), cost, memory=Memory(line, weights))

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return taylor(problem, iterate.x, iterate.u), None

    def advance(self, problem, iterate, index):
        """One backward and one forward message, and the verdict on the belief that they make."""
        memory = iterate.memory
        if memory.x is not iterate.x:
            memory = replace(memory, model=self.expand(problem, iterate)[0], x=iterate.x)
        model, lS = memory.model, self.lambda_transition
        sweep = backward(model, math.inf, lS, damping=(iterate.damping * memory.weights, 0.0))
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown), None
        dx, du, w, _ = forward(model, sweep)
        x, u, dx_size, du_size, x_size, u_size = whole_step(problem, iterate, dx, du)
        change = max(dx_size, du_size)
        cost = self._evaluate(memory.shooting, model, sweep, x, u, w) if change < math.inf else math.inf
        row = Iteration(
            index, self.name, cost, largest(model.d, problem.scales.state), change, 1.0, iterate.damping, 0.0
        )
        if not cost <= iterate.cost * (1.0 + 1e-9):
            return self._restore(replace(iterate, memory=memory), row)
        if not x_size + 0.0 * u_size < DIVERGED:
            return replace(iterate, status=Status.DIVERGED), None
        status = Status.CONVERGED if change < self.tolerance else None
        if status is not None:
            row = replace(row, cost=objective(problem, x, u, w, lS))
        return Iterate(x, u, w, cost, status, True, None, iterate.damping / 5, 0.0, memory), row

    def _evaluate(self, shooting, model, sweep, x, u, w):
        """Objective along the true dynamics, controls and disturbances both following the sweep's feedback."""
        follow = w, np.zeros_like(w), disturbance_gain(model, sweep), model.G
        return shooting.search(np.zeros(1), math.inf, 0.0, 0.0, 0.0, x, u, sweep.K, np.zeros_like(u), follow)[1]

    def _restore(self, iterate, row):
        """The last accepted belief with more damping; growth counts the refusals in a row."""
        if iterate.growth >= BACKTRACKS:
            return replace(iterate, swept=True, status=Status.NO_DESCENT), replace(row, step=0.0)
        damping = max(10.0 * iterate.damping, FIRST_DAMPING)
        return replace(iterate, damping=damping, growth=iterate.growth + 1.0), replace(row, step=0.0)
