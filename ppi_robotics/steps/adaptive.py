"""Multiple shooting whose weight of the cost is estimated along with the path, as in input inference for control.

The cost is read as the squared error of observations with precision eta, and eta as a parameter to be fitted:
1 / eta <- 2 E[C] / (number of residuals), the expectation under the smoothed belief. J. Watson, H. Abdulsamad,
J. Peters, *Stochastic optimal control as approximate input inference* (CoRL 2020). Good tracking so earns a larger eta,
which is optimistic about the noise: the answer is risk-seeking by as much as the fit says.
"""

from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.linearize import SigmaPoints
from ppi_robotics.recursion import backward
from ppi_robotics.steps.full import FullSteps
from ppi_robotics.steps.phase import Iterate, Phase, broke_down
from ppi_robotics.values import joint_covariances

SLOWEST, FASTEST = 0.9, 1.1  # factors of eta in one iteration


@dataclass(frozen=True)
class AdaptiveSteps(Phase):
    """`FullSteps` with a fitted weight, which the iterate carries as its memory.

    Attributes:
      first: weight to start from, above 0.
      tolerance: converged once no state or control changes by more, over its size along the path, nor the weight by
        more, over its own.
      points: as in `FullSteps`.
    """

    first: float
    tolerance: float = 1e-5
    points: SigmaPoints | None = None
    name = "adaptive steps"
    free = True

    def begin(self, problem, x, u):
        """Iterate at a guess."""
        return Iterate(x, u, np.zeros((len(u), problem.plant.noise.columns)), memory=float(self.first))

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate), None

    def advance(self, problem, iterate, index):
        """A full step at the present weight, and the weight that fits the belief after it."""
        eta = iterate.memory
        steps = FullSteps(eta, self.tolerance, self.points)
        after, row = steps.advance(problem, replace(iterate, memory=None), index)
        if row is None:
            return replace(after, memory=eta), None
        model, _ = self.expand(problem, after)
        sweep = backward(model, eta, eta)
        if sweep.breakdown is not None:
            return replace(after, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown, memory=eta), row
        spread = joint_covariances(model, sweep, problem.initial.cov, True, own_noise=True)
        expected = float(model.c0.sum()) + 0.5 * _trace(model, *spread)
        fitted = eta * min(max(problem.cost.residuals(problem.horizon) / (2.0 * expected * eta), SLOWEST), FASTEST)
        settled = after.status is not None and abs(fitted - eta) <= self.tolerance * eta
        return replace(after, status=after.status if settled else None, memory=fitted), replace(row, phase=self.name)

    def conclude(self, problem, iterate, method):  # noqa: ARG002
        """Local model about the last belief and its sweep at the fitted weight."""
        model, _ = self.expand(problem, iterate)
        return model, backward(model, iterate.memory, iterate.memory)


def _trace(model, Z, S):
    """Sum of tr(C cov z) over all stages."""
    nx = S.shape[0]
    total = np.einsum("tij,tij->", model.Cxx[:-1], Z[:, :nx, :nx]) + np.einsum("ij,ij->", model.Cxx[-1], S)
    return (
        total
        + 2.0 * np.einsum("tij,tij->", model.Cux, Z[:, nx:, :nx])
        + np.einsum("tij,tij->", model.Cuu, Z[:, nx:, nx:])
    )
