"""Iterated soft policies: each is the best one that stays close to the one before.

    pi^{n+1} = argmin_pi E[ sum C + (1/lP) KL(pi || pi^n) + (1/lS) KL(tau || iota) ]

The objective N(pi) without the policy's divergence never increases: N(pi^{n+1}) <= V^n <= N(pi^n), V^n being the value
of the soft problem (*Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, section 6). Local models
are true only near the path that they were made about; where N grows after all, the policy is held closer: lP is
lowered, which is the Levenberg-Marquardt damping of this family.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.linearize import taylor
from ppi_robotics.recursion import BackwardPass, Baseline, backward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.steps.phase import RATIO, Iterate, Phase, beyond, broke_down, change_of

CLOSER = 0.25  # factor of lambda_policy after a step that failed
TRIALS = 40
CALM = 1e-12  # of a policy's covariance, which leaves its mean


@dataclass(frozen=True, slots=True)
class Stand:
    """A policy about its own noise-free path, and what it costs.

    Attributes:
      baseline: the policy in deviations from the path; its feedforward is zero.
      model: local model about the path.
      evaluation: `BackwardPass` of the policy itself (lambda_policy = 0).
    """

    baseline: Baseline
    model: object
    evaluation: BackwardPass

    @property
    def cost(self):
        """N(pi): expected cost under the policy, its own noise included, and the risk over the transitions."""
        return float(self.evaluation.value.p0[0])


@dataclass(frozen=True, slots=True)
class Memory:
    """What soft steps carry.

    Attributes:
      shooting: line of rollouts.
      stand: the policy.
      scale: lP is lowered by this factor.
      held: whether the first policy's covariance is kept.
      freed: steps since it is not.
      calm: objective of the mean policy, without its own noise; nan while the covariance is held.
    """

    shooting: object
    stand: Stand
    scale: float
    held: bool
    freed: int = 0
    calm: float = math.nan


@dataclass(frozen=True)
class SoftSteps(Phase):
    """Soft policy iteration about rollouts.

    Attributes:
      lambda_policy: in (0, inf).
      lambda_transition: of either sign.
      mean_only: keep the first policy's covariance, so that only the mean moves, and linearly; otherwise the
        posterior's takes its place once the mean has settled. It shrinks as 1/n, and the steps with it: a mean still on
        its way would hardly arrive.
      spread: standard deviations (nu,) of the first policy; None takes the covariance (lambda_policy C_uu)^-1.
      tolerance: converged once a step lowers the objective by a smaller fraction.
    """

    lambda_policy: float
    lambda_transition: float = 0.0
    mean_only: bool = False
    spread: tuple | None = None
    tolerance: float = 1e-6
    name = "soft steps"

    def begin(self, problem, x, u):
        """Iterate on the rollout of the guess's controls and their noise; averse, with risk-neutral feedback.

        Without feedback the noise may well have no finite averse cost.
        """
        T, (nx, nu) = len(u), (problem.plant.ndx, problem.plant.nu)
        line, w = shooting(problem, no_limits(nu)), np.zeros((T, problem.plant.noise.columns))
        x, u, cost = line.rollout(x, u)
        if not math.isfinite(cost):
            return Iterate(x, u, w, status=Status.DIVERGED)
        model = taylor(problem, x, u)
        cov = self._first_cov(model)
        if cov is None:
            return Iterate(x, u, w, status=Status.INDEFINITE)
        K = backward(model).K if self.lambda_transition < 0.0 else np.zeros((T, nu, nx))
        stand = self._stand(model, Baseline(K, np.zeros((T, nu)), cov))
        broken = stand.evaluation.breakdown
        status = None if broken is None else broke_down(broken)
        return Iterate(x, u, w, stand.cost, status, broken is None, broken, memory=Memory(line, stand, 1.0, True))

    def advance(self, problem, iterate, index):
        """The soft policy about the path, with lambda_policy lowered until the objective falls."""
        stand, scale, broken = iterate.memory.stand, iterate.memory.scale, None
        for _ in range(TRIALS):
            sweep = backward(stand.model, scale * self.lambda_policy, self.lambda_transition, stand.baseline)
            broken = sweep.breakdown
            if broken is None:
                cov = stand.baseline.cov if iterate.memory.held else sweep.cov
                promised = stand.cost - self._stand(stand.model, Baseline(sweep.K, sweep.k, cov)).cost
                found = self._follow(problem, iterate, sweep, cov)
                if found is not None and found[2].cost <= stand.cost - RATIO * promised:
                    return self._accept(problem, iterate, found, scale, index)
                if promised < self.tolerance * scale * abs(stand.cost):
                    return self._settle(iterate), self._row(index, stand.cost, 0.0, 0.0, scale)
            elif broken.kind == "non-finite":
                break
            scale *= CLOSER
        status = Status.NO_DESCENT if broken is None else broke_down(broken)
        return replace(iterate, status=status, breakdown=broken), self._row(index, stand.cost, 0.0, 0.0, scale)

    def conclude(self, problem, iterate, method):  # noqa: ARG002
        """Local model about the path of the last policy, and the evaluation of that policy."""
        stand = iterate.memory.stand
        return stand.model, stand.evaluation

    def _accept(self, problem, iterate, found, scale, index):
        x, u, stand = found
        before = iterate.memory.stand.cost
        change = change_of(problem, (iterate.x, iterate.u), (x, u))
        memory, calm = replace(iterate.memory, stand=stand, scale=min(1.0, scale / CLOSER)), math.nan
        if not memory.held:
            calm = self._stand(stand.model, replace(stand.baseline, cov=CALM * stand.baseline.cov)).cost
            memory = replace(memory, freed=memory.freed + 1, calm=calm)
        after = replace(iterate, x=x, u=u, cost=stand.cost, breakdown=None, memory=memory)
        # The covariance shrinks as 1/n, and the objective with it, long after the mean has come to rest: as its error
        # falls as 1/n^2, what is left to gain is half of n times the last gain.
        left = memory.freed * (iterate.memory.calm - calm)
        if scale == 1.0 and (
            before - stand.cost < self.tolerance * abs(stand.cost) or abs(left) < self.tolerance * abs(calm)
        ):
            after = self._settle(after)
        return after, self._row(index, stand.cost, change, 1.0, scale)

    def _settle(self, iterate):
        """The iterate once no step is worth taking: with the covariance free to shrink, or at its end."""
        if iterate.memory.held and not self.mean_only:
            return replace(iterate, memory=replace(iterate.memory, held=False, scale=1.0))
        return replace(iterate, status=Status.CONVERGED)

    def _follow(self, problem, iterate, sweep, cov):
        """Path x, u of a sweep's policy without noise, and its `Stand`; None where there is no such path."""
        path = (iterate.x, iterate.u, sweep.K, sweep.k)
        _, cost, x, u, _ = iterate.memory.shooting.search(np.ones(1), math.inf, 0.0, 0.0, 0.0, *path)
        if not math.isfinite(cost) or beyond(problem, x):
            return None
        stand = self._stand(taylor(problem, x, u), Baseline(sweep.K, np.zeros_like(sweep.k), cov))
        return None if stand.evaluation.breakdown is not None else (x, u, stand)

    def _stand(self, model, baseline):
        return Stand(baseline, model, backward(model, 0.0, self.lambda_transition, baseline))

    def _first_cov(self, model):
        T, _, nu = model.B.shape
        if self.spread is not None:
            return np.tile(np.diag(np.square(np.broadcast_to(np.asarray(self.spread, float), nu))), (T, 1, 1))
        if np.linalg.eigvalsh(model.Cuu)[:, 0].min() <= 0.0:
            return None
        return np.linalg.inv(model.Cuu) / self.lambda_policy

    def _row(self, index, cost, change, step, scale):
        return Iteration(index, self.name, cost, 0.0, change, step, 1.0 / scale - 1.0, 0.0)
