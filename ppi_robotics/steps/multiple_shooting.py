"""Multiple shooting: states are iterates of their own, joined to a path only at convergence.

`MultipleShooting` takes whole steps and is the iterated extended Kalman smoother. `FittedMultipleShooting` estimates
the weight of the cost along with the path. `DampedMessages` is AICO's own iteration.

The belief b ~ forward message x backward message x task message is the mean path under the soft policy and the tilted
dynamics, so that the two passes are AICO's messages; the sum of the backward and the task message is exp(-V).

M. Toussaint, *Robot trajectory optimization using approximate inference* (ICML 2009). J. Watson, H. Abdulsamad,
J. Peters, *Stochastic optimal control as approximate input inference* (CoRL 2020).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.kernels.trajectories import largest
from ppi_robotics.linearize import SigmaPoints
from ppi_robotics.recursion import backward, forward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.scales import along
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.status import Breakdown
from ppi_robotics.steps.base import (
    Iterate,
    Phase,
    broke_down,
    disturbance_gain,
    objective,
    price,
    whole_step,
)
from ppi_robotics.steps.compiled import CompiledSteps, swept_step
from ppi_robotics.streams import DIVERGED
from ppi_robotics.values import joint_covariances

SLOWEST, FASTEST = 0.9, 1.1  # factors of a fitted weight in one iteration
FIRST_DAMPING = 1e-3  # of a belief, once one was refused
BACKTRACKS = 10


@dataclass(frozen=True, slots=True)
class BeliefIterate(Iterate):
    """Mean path of a belief.

    Attributes:
      compiled: iterations in one compiled call, or None.
      covariances: of (x_t, u_t) and of x_T, which sigma points stand for; None for none.
      eta: fitted weight of the cost.
    """

    compiled: CompiledSteps | None = None
    covariances: tuple | None = None
    eta: float = math.nan


@dataclass(frozen=True)
class MultipleShooting(Phase):
    """Multiple shooting with full steps: the iterated extended Kalman smoother. A start need not obey the dynamics.

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
        plain = self.points is None and CompiledSteps.applies(problem)
        return BeliefIterate(x, u, w, compiled=CompiledSteps(problem) if plain else None)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate, iterate.covariances), None

    def advance(self, problem, iterate, index):
        """Expand, sweep backward and forward, take the whole step."""
        step = None
        if iterate.compiled is not None:
            step = iterate.compiled.full_step(iterate.x, iterate.u, iterate.w, self.lambda_transition)
        if step is None:
            step = self._step(problem, iterate)
        if isinstance(step, Breakdown):
            return replace(iterate, status=broke_down(step), breakdown=step), None
        x, u, w, (cost, defect, dx_size, du_size, x_size, u_size), *cov = step
        if not dx_size + du_size + u_size < math.inf or x_size > DIVERGED:
            return replace(iterate, status=Status.DIVERGED), None
        change = max(dx_size, du_size)
        # the cost is that of the path that was expanded: the next one's comes with its own expansion
        still = abs(cost - iterate.cost) < 1e-7 * abs(cost) and change < 100 * self.tolerance
        status = Status.CONVERGED if change < self.tolerance or still else None
        if status is not None and self.points is None:
            cost = objective(problem, x, u, w, self.lambda_transition)
        row = Iteration(index, self.name, cost, defect, change, 1.0, 0.0, 0.0)
        return BeliefIterate(x, u, w, cost, status, True, None, 0.0, iterate.compiled, *cov), row

    def _step(self, problem, iterate):
        """What `CompiledSteps.full_step` returns and, with sigma points, covariances; or the `Breakdown`."""
        model, _ = self.expand(problem, iterate)
        pointed = self.points is not None
        if not (pointed and problem.initial.cov.any()) and not problem.plant.quaternions:
            scales = problem.scales.state, problem.scales.control
            step = swept_step(model, iterate.x, iterate.u, iterate.w, self.lambda_transition, scales, pointed)
            if step is not None:
                return step
        sweep = backward(model, math.inf, self.lambda_transition)
        if sweep.breakdown is not None:
            return sweep.breakdown
        dx, du, w, _ = forward(model, sweep)
        x, u, *sizes = whole_step(problem, iterate, dx, du)
        cost = float(model.c0.sum()) + price(iterate.w, self.lambda_transition)
        cov = joint_covariances(model, sweep, problem.initial.cov, True) if pointed else None
        return x, u, w, (cost, largest(model.d, problem.scales.state), *sizes), cov


@dataclass(frozen=True)
class FittedMultipleShooting(Phase):
    """`MultipleShooting` whose weight of the cost is estimated along with the path, as in input inference for control.

    The cost is read as the squared error of observations with precision eta, and eta as a parameter to be fitted:
    1 / eta <- 2 E[C] / (number of residuals), the expectation under the smoothed belief. Good tracking so earns a
    larger eta, which is optimistic about the noise: the answer is risk-seeking by as much as the fit says.

    Attributes:
      first: weight to start from, above 0.
      tolerance: converged once no state or control changes by more, over its size along the path, nor the weight by
        more, over its own.
      points: as in `MultipleShooting`.
    """

    first: float
    tolerance: float = 1e-5
    points: SigmaPoints | None = None
    name = "adaptive steps"
    free = True

    def begin(self, problem, x, u):
        """Iterate at a guess."""
        return BeliefIterate(x, u, np.zeros((len(u), problem.plant.noise.columns)), eta=float(self.first))

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate, iterate.covariances), None

    def advance(self, problem, iterate, index):
        """A full step at the present weight, and the weight that fits the belief after it."""
        eta = iterate.eta
        after, row = MultipleShooting(eta, self.tolerance, self.points).advance(problem, iterate, index)
        if row is None:
            return replace(after, eta=eta), None
        model, _ = self.expand(problem, after)
        sweep = backward(model, eta, eta)
        if sweep.breakdown is not None:
            return replace(after, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown, eta=eta), row
        covariances = joint_covariances(model, sweep, problem.initial.cov, True, own_noise=True)
        expected = float(model.c0.sum()) + 0.5 * _trace(model, *covariances)
        fitted = eta * min(max(problem.cost.residuals(problem.horizon) / (2.0 * expected * eta), SLOWEST), FASTEST)
        settled = after.status is not None and abs(fitted - eta) <= self.tolerance * eta
        return replace(after, status=after.status if settled else None, eta=fitted), replace(row, phase=self.name)

    def last_pass(self, problem, iterate, method):  # noqa: ARG002
        """Local model about the last belief and its backward pass at the fitted weight."""
        model, _ = self.expand(problem, iterate)
        return model, backward(model, iterate.eta, iterate.eta)


def _trace(model, Z, S):
    """Sum of tr(C cov z) over all stages."""
    nx = S.shape[0]
    total = np.einsum("tij,tij->", model.Cxx[:-1], Z[:, :nx, :nx]) + np.einsum("ij,ij->", model.Cxx[-1], S)
    return (
        total
        + 2.0 * np.einsum("tij,tij->", model.Cux, Z[:, nx:, :nx])
        + np.einsum("tij,tij->", model.Cuu, Z[:, nx:, nx:])
    )


@dataclass(frozen=True, slots=True)
class MessageIterate(Iterate):
    """Mean path of a belief, and what its messages are made from.

    Attributes:
      line: rollouts.
      weights: of the damping (ndx,).
      model: local model about the path, None where it has still to be made.
      refusals: beliefs in a row that were not accepted, for the damping is too small.
    """

    line: object = None
    weights: np.ndarray | None = None
    model: object = None
    refusals: int = 0


@dataclass(frozen=True)
class DampedMessages(Phase):
    """AICO's iteration: messages about a damped belief, sent again from where it has moved to.

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
        w = np.zeros((len(u), problem.plant.noise.columns))
        return MessageIterate(x, u, w, cost, line=line, weights=weights)

    def advance(self, problem, iterate, index):
        """One backward and one forward message, and the verdict on the belief that they make."""
        if iterate.model is None:
            iterate = replace(iterate, model=self.expand(problem, iterate)[0])
        model, lS = iterate.model, self.lambda_transition
        sweep = backward(model, math.inf, lS, damping=(iterate.damping * iterate.weights, 0.0))
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown), None
        dx, du, w, _ = forward(model, sweep)
        x, u, dx_size, du_size, x_size, u_size = whole_step(problem, iterate, dx, du)
        change = max(dx_size, du_size)
        cost = self._evaluate(iterate.line, model, sweep, x, u, w) if change < math.inf else math.inf
        row = Iteration(
            index, self.name, cost, largest(model.d, problem.scales.state), change, 1.0, iterate.damping, 0.0
        )
        if not cost <= iterate.cost * (1.0 + 1e-9):
            return self._restore(iterate, row)
        if not x_size + 0.0 * u_size < DIVERGED:
            return replace(iterate, status=Status.DIVERGED), None
        status = Status.CONVERGED if change < self.tolerance else None
        if status is not None:
            row = replace(row, cost=objective(problem, x, u, w, lS))
        carried = iterate.line, iterate.weights
        return MessageIterate(x, u, w, cost, status, True, None, iterate.damping / 5, *carried), row

    def _evaluate(self, line, model, sweep, x, u, w):
        """Objective along the true dynamics, controls and disturbances both following the sweep's feedback."""
        follow = w, np.zeros_like(w), disturbance_gain(model, sweep), model.G
        return line.search(np.zeros(1), math.inf, 0.0, 0.0, 0.0, x, u, sweep.K, np.zeros_like(u), follow)[1]

    def _restore(self, iterate, row):
        """The last accepted belief with more damping."""
        if iterate.refusals >= BACKTRACKS:
            return replace(iterate, completed=True, status=Status.NO_DESCENT), replace(row, step=0.0)
        damping = max(10.0 * iterate.damping, FIRST_DAMPING)
        return replace(iterate, damping=damping, refusals=iterate.refusals + 1), replace(row, step=0.0)
