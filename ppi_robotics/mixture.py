"""Mixtures of linear-Gaussian policies whose shares follow the values of the components, in logarithms throughout.

    u_t ~ sum_i r_i N(mean_i, cov_i)        r_i = w_i z_i(x_t) / sum_j w_j z_j(x_t)        z_i = exp(-l V_i)

With values as in `messages`, quadratic in the state, this is the optimal policy for several goals; see `composition`.
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import as_finite, check_count, check_instance, check_seed
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import covariance_factor, log_sum
from ppi_robotics.problem import check_problem
from ppi_robotics.rollouts import Rollouts


@dataclass(frozen=True, eq=False)
class MixturePolicy:
    """Mixture of linear-Gaussian policies, whose shares depend on the state: optimal for the soft minimum of goals.

    Attributes:
      policies: of the components.
      values: `Value`s of the components, in deviations from their policies' references.
      weights: w_i (n,).
      weight: l [1/cost].
    """

    policies: tuple
    values: tuple
    weights: np.ndarray
    weight: float

    @property
    def horizon(self):
        """Number of stages T."""
        return self.policies[0].horizon

    def responsibilities(self, t, x):
        """Shares (..., n) of the components at stage t, 0 to T - 1, in states x (..., nx); they sum to 1."""
        terms = self._log_terms(t, x)
        return np.exp(terms - log_sum(terms)[..., None])

    def value(self, t, x):
        """Value (...) of the composed problem at stage t, 0 to T - 1, in states x (..., nx).

        It is relative to the baseline of the components, which is the flat one.
        """
        return -log_sum(self._log_terms(t, x)) / self.weight

    def mean(self, t, x):
        """Mean control (..., nu) at stage t in states x (..., nx)."""
        return np.einsum("...i,...iu->...u", self.responsibilities(t, x), self._each("mean", t, x))

    def sample(self, t, x, rng):
        """Control (..., nu) drawn at stage t in states x (..., nx) with a numpy Generator."""
        shares = self.responsibilities(t, x)
        check_instance(rng, "rng", np.random.Generator, "such as numpy.random.default_rng(0)")
        # a uniform number of [0, 1) may exceed a sum of shares that is rounded to less than 1
        below = np.cumsum(shares, axis=-1)[..., :-1] <= rng.random(shares.shape[:-1])[..., None]
        chosen = below.sum(axis=-1)[..., None, None]
        return np.take_along_axis(self._each("sample", t, x, rng), chosen, axis=-2)[..., 0, :]

    def rollout(self, problem, samples=1, seed=0):
        """Sample trajectories in which every control is drawn from the mixture.

        Sample i meets the same initial state and noise at every number of samples and under every mixture.

        Args:
          problem: `Problem` whose plant, noise, initial state and cost apply.
          samples: number N of rollouts.
          seed: of the noise and of the draws.

        Returns:
          `Rollouts`.

        Raises:
          ProblemError: if a policy does not fit the problem, or its noise grows with state or control.
        """
        check_problem(problem)
        for policy in self.policies:
            policy.check(problem)
        samples = check_count(samples, "samples", 1)
        seed = check_seed(seed)
        plant, T, noise = problem.plant, problem.horizon, problem.plant.noise
        if noise.growing:
            raise ProblemError(f"plant '{plant.name}' has noise that grows; give one with additive noise alone")
        draws, disturbances = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
        factor = covariance_factor(problem.initial.cov)
        w = disturbances.standard_normal((samples, factor.shape[1] + T * noise.columns))
        start, w = np.split(w, [factor.shape[1]], axis=1)
        w = w.reshape(samples, T, noise.columns) @ noise.factor.T
        x, u = np.empty((samples, T + 1, plant.nx)), np.empty((samples, T, plant.nu))
        x[:, 0] = problem.initial.mean + start @ factor.T
        for t in range(T):
            u[:, t] = np.clip(self.sample(t, x[:, t], draws), *plant.control_limits.T)
            x[:, t + 1] = plant.step(x[:, t], u[:, t]) + w[:, t]
        return Rollouts(x, u, problem.cost.stages(x, u).sum(axis=1), 0, int(seed), plant.dt)

    def _each(self, what, t, x, *args):
        """Means or samples (..., n, nu) of the components."""
        return np.stack([getattr(policy, what)(t, x, *args) for policy in self.policies], axis=-2)

    def _log_terms(self, t, x):
        """Logarithms (..., n) of w_i z_t^i(x)."""
        t = check_count(t, "t", 0, self.horizon - 1)
        x = as_finite(x, "x")
        if x.ndim == 0 or x.shape[-1] != self.policies[0].x_ref.shape[1]:
            raise ProblemError(f"x has shape {x.shape}; expected (..., {self.policies[0].x_ref.shape[1]})")
        values = []
        for policy, V in zip(self.policies, self.values, strict=True):
            dx = x - policy.x_ref[t]
            values.append(0.5 * np.einsum("...i,ij,...j", dx, V.P[t], dx) + dx @ V.p[t] + V.p0[t])
        return log(self.weights) - self.weight * np.stack(values, axis=-1)


def log(weights):
    """Logarithms of weights, -inf for 0."""
    with np.errstate(divide="ignore"):
        return np.log(weights)
