"""Time-varying linear feedback from weighted rollouts: the posterior of u_t given x_t, by weighted regression.

    (K_t, k_t) = argmin sum_n w_t^n |u_t^n - k - K (x_t^n - x_ref_t)|^2,     w_t^n ~ exp(-lP C_{t:T}^n)

Only what is still to come weighs: p(u_t | x_t, low cost) does not depend on the costs already paid, and the effective
sample size is far larger so. A ridge of one effective sample, in units of the states' own spread, and shrinkage after
W. James and C. Stein (1961) take out of the gains what chance explains; both vanish as the samples grow.
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.entropic import log_softmax
from ppi_robotics.manifold import difference

LEAST = 3  # effective samples a state and control that gains take


@dataclass(frozen=True, slots=True)
class Feedback:
    """Gains from samples.

    Attributes:
      K, cov: (T, nu, ndx), (T, nu, nu), the latter what the regression leaves over.
      u: controls at the reference (T, nu); nan where a stage kept its gains.
      ess: effective sample size of every stage (T,).
      kept: whether a stage kept the gains and covariance it had (T,), for want of effective samples.
    """

    K: np.ndarray
    cov: np.ndarray
    u: np.ndarray
    ess: np.ndarray
    kept: np.ndarray


def regress(x, u, log_weights, x_ref, before, quaternions=()):
    """`Feedback` of N rollouts.

    Args:
      x, u: states (N, T + 1, nx), controls before limits act (N, T, nu).
      log_weights: (N, T), normalized or not; -inf for samples without weight.
      x_ref: (T, nx), about which differences are taken.
      before: K and cov to keep where there are fewer than 3 (ndx + nu) effective samples.
      quaternions: where they start in the state.
    """
    K_before, cov_before = before
    log_weights = log_softmax(np.where(np.isfinite(log_weights), log_weights, -np.inf), axis=0)
    w = np.where(np.isfinite(log_weights), np.exp(np.minimum(log_weights, 0.0)), 0.0)
    ess = 1.0 / np.maximum((w**2).sum(axis=0), 1e-300)
    sound = w.any(axis=1)
    w, x, u = w[sound], x[sound], u[sound]
    dx = difference(x[:, :-1], x_ref, quaternions)
    z = np.concatenate((dx, u), axis=2)
    mean = np.einsum("nt,nti->ti", w, z)
    z = z - mean
    moments = np.einsum("nt,nti,ntj->tij", w, z, z, optimize=True)
    ndx = dx.shape[2]
    xx, ux, uu = moments[:, :ndx, :ndx], moments[:, ndx:, :ndx], moments[:, ndx:, ndx:]
    scale = np.sqrt(np.maximum(np.einsum("tii->ti", xx), 1e-300))
    scaled = xx / (scale[:, :, None] * scale[:, None, :]) + (1.0 / ess)[:, None, None] * np.eye(ndx)
    K = np.swapaxes(np.linalg.solve(scaled, np.swapaxes(ux / scale[:, None, :], 1, 2)), 1, 2) / scale[:, None, :]
    K *= shrinkage(K, xx, ux, uu, ess)
    cov = uu - K @ np.swapaxes(ux, 1, 2) - ux @ np.swapaxes(K, 1, 2) + K @ xx @ np.swapaxes(K, 1, 2)
    kept = (ess < LEAST * (ndx + u.shape[2])) | ~np.isfinite(K).all(axis=(1, 2)) | (np.einsum("tii->t", xx) <= 0.0)
    at_reference = mean[:, ndx:] - np.einsum("tij,tj->ti", K, mean[:, :ndx])
    K[kept], cov[kept], at_reference[kept] = K_before[kept], cov_before[kept], np.nan
    return Feedback(K, 0.5 * (cov + np.swapaxes(cov, 1, 2)), at_reference, ess, kept)


def shrinkage(K, xx, ux, uu, ess):
    """Factors (T, nu, 1) of gains by how much more they explain than as many random regressors would."""
    explained = 2.0 * np.einsum("tij,tij->ti", K, ux) - np.einsum("tij,tjk,tik->ti", K, xx, K)
    left = np.maximum(np.einsum("tii->ti", uu) - explained, 0.0)
    by_chance = xx.shape[1] * left / np.maximum(ess - xx.shape[1], 1.0)[:, None]
    return np.maximum(1.0 - by_chance / np.maximum(explained, 1e-300), 0.0)[:, :, None]
