"""Beliefs over states and controls under a policy, and the value of an uncertain initial state."""

import numpy as np

from ppi_robotics.gaussian import Gaussian, covariance_factor
from ppi_robotics.messages import Breakdown, forward


def initial_value(sweep, initial):
    """Risk-weighted value of a belief over the deviation of the initial state, by one more risk step.

    Args:
      sweep: `Sweep`.
      initial: `Gaussian` over the deviation of the initial state.

    Returns:
      R_lS[V_0] (float), or the `Breakdown` where it is infinite.
    """
    lS, P, p, m = sweep.lambda_transition, sweep.value.P[0], sweep.value.p[0], initial.mean
    L = covariance_factor(initial.cov)
    value, slope, curvature = 0.5 * m @ P @ m + p @ m + sweep.value.p0[0], L.T @ (P @ m + p), L.T @ P @ L
    if lS == 0.0 or not L.size:
        return float(value + 0.5 * np.trace(curvature))
    eigenvalues, vectors = np.linalg.eigh(curvature)
    M = 1.0 + lS * eigenvalues
    if M.min() <= 0.0:
        return Breakdown("risk", -1, float(eigenvalues[-1] if lS < 0 else eigenvalues[0]))
    return float(value - 0.5 * lS * np.sum((vectors.T @ slope) ** 2 / M) + 0.5 * np.sum(np.log(M)) / lS)


def marginals(model, sweep, initial):
    """Belief over the states under the policy and the tilted dynamics: means and covariances of every stage.

    For lambda_policy = lambda_transition these are the smoothed marginals given that every cost was "observed".

    Args:
      model: `LocalModel`.
      sweep: `Sweep` of the same model.
      initial: `Gaussian` over the deviation of the initial state.

    Returns:
      `Gaussian` with mean (T + 1, nx) and cov (T + 1, nx, nx).
    """
    T, nx, _ = model.B.shape
    lS, P, p = sweep.lambda_transition, sweep.value.P[0], sweep.value.p[0]
    S = np.empty((T + 1, nx, nx))
    # the initial belief is tilted like every transition
    S[0] = tilt(initial.cov, lS, P)
    x, _, _, _ = forward(model, sweep, initial.mean - lS * S[0] @ (P @ initial.mean + p))
    model.kernels.spread(model.arrays(), lS, sweep.P_ahead, sweep.K, sweep.cov, S, np.empty((0, 0, 0)))
    return Gaussian(x, S)


def joint_spread(model, sweep, initial_cov, tilted, own_noise=False):
    """Covariances of state and control under a policy.

    Args:
      model: `LocalModel`.
      sweep: `Sweep` of the same model.
      initial_cov: (nx, nx), of the initial state.
      tilted: under the tilted dynamics, which is the belief; otherwise under the noise itself, which is what rollouts
        of the policy show.
      own_noise: whether the policy draws its controls; otherwise its mean acts.

    Returns:
      covariances of (x_t, u_t), (T, nx + nu, nx + nu), and of x_T, (nx, nx).
    """
    T, nx, nu = model.B.shape
    lS, S, Z = sweep.lambda_transition if tilted else 0.0, np.empty((T + 1, nx, nx)), np.empty((T, nx + nu, nx + nu))
    S[0] = tilt(initial_cov, lS, sweep.value.P[0])
    cov = sweep.cov if own_noise else np.empty((0, nu, nu))
    model.kernels.spread(model.arrays(), lS, sweep.P_ahead, sweep.K, cov, S, Z)
    return Z, S[T]


def tilt(cov, lS, P):
    """Covariance of N(., cov) times exp(-lS x'Px / 2)."""
    return np.linalg.inv(np.eye(len(cov)) + lS * cov @ P) @ cov if cov.any() else cov
