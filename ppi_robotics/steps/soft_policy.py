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
from ppi_robotics.recursion import BackwardPass, Baseline, LocalModel, backward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.steps.base import RATIO, Iterate, Phase, beyond, broke_down, change_of

CLOSER = 0.25  # factor of lambda_policy after a step that failed
TRIALS = 40
STILL = 1e-12  # of a policy's covariance, which leaves its mean


@dataclass(frozen=True, slots=True)
class EvaluatedPolicy:
    """A policy about its own noise-free path, and what it costs.

    Attributes:
      baseline: the policy in deviations from the path; its feedforward is zero.
      model: local model about the path.
      evaluation: `BackwardPass` of the policy itself (lambda_policy = 0).
    """

    baseline: Baseline
    model: LocalModel
    evaluation: BackwardPass

    @property
    def cost(self):
        """N(pi): expected cost under the policy, its own noise included, and the risk over the transitions."""
        return float(self.evaluation.value.p0[0])


@dataclass(frozen=True, slots=True)
class PolicyIterate(Iterate):
    """Path of a soft policy.

    Attributes:
      line: rollouts.
      policy: about the path.
      scale: lP is lowered by this factor.
      held: whether the first policy's covariance is kept.
      freed: steps since it is not.
      mean_cost: objective of the mean policy, without its own noise; nan while the covariance is held.
    """

    line: object = None
    policy: EvaluatedPolicy | None = None
    scale: float = 1.0
    held: bool = True
    freed: int = 0
    mean_cost: float = math.nan


@dataclass(frozen=True)
class SoftPolicyIteration(Phase):
    """Soft policy iteration about rollouts.

    Attributes:
      lambda_policy: in (0, inf).
      lambda_transition: of either sign.
      mean_only: keep the first policy's covariance, so that only the mean moves, and linearly; otherwise the
        posterior's takes its place once the mean has settled. It shrinks as 1/n, and the steps with it: a mean still on
        its way would hardly arrive.
      std: standard deviations (nu,) of the first policy; None takes the covariance (lambda_policy C_uu)^-1.
      tolerance: converged once a step lowers the objective by a smaller fraction.
    """

    lambda_policy: float
    lambda_transition: float = 0.0
    mean_only: bool = False
    std: tuple | None = None
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
        policy = self._evaluated(model, Baseline(K, np.zeros((T, nu)), cov))
        broken = policy.evaluation.breakdown
        status = None if broken is None else broke_down(broken)
        return PolicyIterate(x, u, w, policy.cost, status, broken is None, broken, line=line, policy=policy)

    def advance(self, problem, iterate, index):
        """The soft policy about the path, with lambda_policy lowered until the objective falls."""
        policy, scale, broken = iterate.policy, iterate.scale, None
        for _ in range(TRIALS):
            sweep = backward(policy.model, scale * self.lambda_policy, self.lambda_transition, policy.baseline)
            broken = sweep.breakdown
            if broken is None:
                cov = policy.baseline.cov if iterate.held else sweep.cov
                promised = policy.cost - self._evaluated(policy.model, Baseline(sweep.K, sweep.k, cov)).cost
                found = self._follow(problem, iterate, sweep, cov)
                if found is not None and found[2].cost <= policy.cost - RATIO * promised:
                    return self._accept(problem, iterate, found, scale, index)
                if promised < self.tolerance * scale * abs(policy.cost):
                    return self._settle(iterate), self._row(index, policy.cost, 0.0, 0.0, scale)
            elif broken.kind == "non-finite":
                break
            scale *= CLOSER
        status = Status.NO_DESCENT if broken is None else broke_down(broken)
        return replace(iterate, status=status, breakdown=broken), self._row(index, policy.cost, 0.0, 0.0, scale)

    def last_pass(self, problem, iterate, method):  # noqa: ARG002
        """Local model about the path of the last policy, and the evaluation of that policy."""
        return iterate.policy.model, iterate.policy.evaluation

    def _accept(self, problem, iterate, found, scale, index):
        x, u, policy = found
        before, mean_cost, freed = iterate.policy.cost, math.nan, iterate.freed
        change = change_of(problem, (iterate.x, iterate.u), (x, u))
        if not iterate.held:
            still = replace(policy.baseline, cov=STILL * policy.baseline.cov)
            mean_cost, freed = self._evaluated(policy.model, still).cost, freed + 1
        kept = {"policy": policy, "scale": min(1.0, scale / CLOSER), "freed": freed, "mean_cost": mean_cost}
        after = replace(iterate, x=x, u=u, cost=policy.cost, breakdown=None, **kept)
        # The covariance shrinks as 1/n, and the objective with it, long after the mean has come to rest: as its error
        # falls as 1/n^2, what is left to gain is half of n times the last gain.
        left = freed * (iterate.mean_cost - mean_cost)
        if scale == 1.0 and (
            before - policy.cost < self.tolerance * abs(policy.cost) or abs(left) < self.tolerance * abs(mean_cost)
        ):
            after = self._settle(after)
        return after, self._row(index, policy.cost, change, 1.0, scale)

    def _settle(self, iterate):
        """The iterate once no step is worth taking: with the covariance free to shrink, or at its end."""
        if iterate.held and not self.mean_only:
            return replace(iterate, held=False, scale=1.0)
        return replace(iterate, status=Status.CONVERGED)

    def _follow(self, problem, iterate, sweep, cov):
        """Path x, u of a sweep's policy without noise, and its `EvaluatedPolicy`; None where there is no such path."""
        path = (iterate.x, iterate.u, sweep.K, sweep.k)
        _, cost, x, u, _ = iterate.line.search(np.ones(1), math.inf, 0.0, 0.0, 0.0, *path)
        if not math.isfinite(cost) or beyond(problem, x):
            return None
        policy = self._evaluated(taylor(problem, x, u), Baseline(sweep.K, np.zeros_like(sweep.k), cov))
        return None if policy.evaluation.breakdown is not None else (x, u, policy)

    def _evaluated(self, model, baseline):
        return EvaluatedPolicy(baseline, model, backward(model, 0.0, self.lambda_transition, baseline))

    def _first_cov(self, model):
        T, _, nu = model.B.shape
        if self.std is not None:
            return np.tile(np.diag(np.square(np.broadcast_to(np.asarray(self.std, float), nu))), (T, 1, 1))
        if np.linalg.eigvalsh(model.Cuu)[:, 0].min() <= 0.0:
            return None
        return np.linalg.inv(model.Cuu) / self.lambda_policy

    def _row(self, index, cost, change, step, scale):
        return Iteration(index, self.name, cost, 0.0, change, step, 1.0 / scale - 1.0, 0.0)
