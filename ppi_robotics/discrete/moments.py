"""Mean and variance of the cost of a policy on tables, exactly.

m_t(x) = E[c_t + m_{t+1}(y)],   v_t(x) = E[(c_t(x, u) + m_{t+1}(y) - m_t(x))^2 + v_{t+1}(y)]      u ~ pi, y ~ iota
"""

import numpy as np

from ppi_robotics.discrete.central import as_baseline, check_horizon
from ppi_robotics.errors import ProblemError


def mean_and_variance(mdp, log_policy, horizon=None):
    """Mean and variance of the cost of trajectories under a policy.

    Args:
      mdp: `FiniteMDP` without discount.
      log_policy: (S, A) or (T, S, A).
      horizon: as for `solve`.

    Returns:
      m and v, each (T + 1, S); inf where a trajectory of infinite cost can happen.

    Raises:
      ProblemError: if the problem is discounted, or an argument cannot be used.
    """
    T = check_horizon(mdp, horizon)
    if mdp.discount != 1.0:
        raise ProblemError(f"discount is {mdp.discount:g}; the variance is for problems without")
    log_pi = as_baseline(mdp, log_policy, T)
    mean, variance = np.empty((T + 1, mdp.states)), np.empty((T + 1, mdp.states))
    mean[T], variance[T] = mdp.terminal, np.where(np.isinf(mdp.terminal), np.inf, 0.0)
    for t in reversed(range(T)):
        matrix, cost = mdp.at(t)
        pi, size = np.exp(log_pi[min(t, len(log_pi) - 1)]), np.diff(matrix.indptr)
        total = np.where(pi > 0.0, cost + (matrix @ mean[t + 1]).reshape(pi.shape), 0.0)
        mean[t] = np.where(mdp.absorbing, mdp.terminal, (pi * total).sum(axis=1))
        row = np.repeat(np.arange(len(size)), size)
        with np.errstate(invalid="ignore"):  # where means are infinite, which is put right below
            excess = mean[t + 1][matrix.indices] - (mean[t][:, None] - cost).ravel()[row]
            terms = matrix.data * (excess**2 + variance[t + 1][matrix.indices])
            squares = np.bincount(row, terms, len(size)).reshape(pi.shape)
            found = np.where(pi > 0.0, pi * squares, 0.0).sum(axis=1)
        variance[t] = np.where(np.isfinite(mean[t]), np.where(mdp.absorbing, 0.0, found), np.inf)
    return mean, variance
