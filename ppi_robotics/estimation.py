"""Posterior policy iteration as it was first written: a Kalman filter on states and controls, then a smoother.

With z = (x, u), the baseline rho = N(K x + k, cov) and costs taken as observations of likelihood exp(-eta C),

    joint     m = (m_x, K m_x + k),   S = [[S_x, S_x K'], [K S_x, K S_x K' + cov]]
    cost      S' = (S^-1 + eta H)^-1,   m' = S' (S^-1 m - eta g)
    predict   m_x+ = F m' + d,   S_x+ = F S' F' + G G',   F = [A B]
    smooth    m_s = m' + J (m_x+s - m_x+),   S_s = (I - JF) S' (I - JF)' + J (S_x+s + G G') J',   J = S' F' (S_x+)^-1
    policy    K = S_ux S_xx^-1,   k = m_u - K m_x,   cov = S_uu - K S_xu        of the smoothed beliefs

`recursion.backward` at both weights eta gives the same policy without a belief about the start.

K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
inference* (RSS, 2012); H. Rauch, F. Tung, C. Striebel, *Maximum likelihood estimates of linear dynamic systems* (AIAA
Journal, 1965).
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import check_number
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.recursion import Baseline, LocalModel


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Result of `smooth`, in the model's deviations.

    Attributes:
      filtered: beliefs about z_t = (x_t, u_t) given the costs up to stage t, mean (T, nz) and cov (T, nz, nz).
      smoothed: beliefs about z_t given all costs.
      last: belief about x_T given all costs.
      policy: u given x under the smoothed beliefs, as a `Baseline` for the next iteration.
    """

    filtered: Gaussian
    smoothed: Gaussian
    last: Gaussian
    policy: Baseline


def smooth(model: LocalModel, eta: float, initial: Gaussian, prior: Baseline) -> Smoothed:
    """Smoothed beliefs and posterior policy of a linear-Gaussian model whose costs are observations.

    Hessians of the cost may be indefinite as long as every S^-1 + eta H is positive definite, which asks more of the
    model than `recursion.backward`: a stage's negative curvature cannot be made up for by later costs.

    Args:
      model: `LocalModel`.
      eta: weight of the cost [1/cost], not negative.
      initial: `Gaussian` over the deviation of the initial state; its covariance must be positive definite, for
        without spread there is no conditional of the control given the state.
      prior: `Baseline` policy.

    Returns:
      `Smoothed`.

    Raises:
      ProblemError: if eta, the initial belief or the prior cannot be used, or at a stage no Gaussian belief exists.
    """
    (T, nx, nu), H, g = model.B.shape, *_costs(model)
    eta = check_number(eta, "eta", least=0)
    if initial.mean.shape != (nx,):
        raise ProblemError(f"initial has mean of shape {initial.mean.shape}; the model has {nx} states")
    if prior.K.shape != (T, nu, nx):
        raise ProblemError(f"prior has gains of shape {prior.K.shape}; the model needs {(T, nu, nx)}")
    F, W = np.concatenate([model.A, model.B], axis=2), model.G @ np.swapaxes(model.G, 1, 2)
    R_u = _root(prior.cov, "prior.cov has a matrix that is not positive definite; give every control some spread")
    spread = "the covariance of the initial state is singular; add a small one such as 1e-6 I"
    m, S, filtered, predicted = initial.mean, initial.cov, [], []
    for t in range(T):
        R = _joint_root(_root(S, spread if t == 0 else _lost(t)), prior.K[t], R_u[t])
        m, S = _observe(np.r_[m, prior.K[t] @ m + prior.k[t]], R, eta, H[t], g[t], t)
        filtered.append((m, S))
        m, S = F[t] @ m + model.d[t], F[t] @ S @ F[t].T + W[t]
        predicted.append((m, S))
    m, S = _observe(m, _root(S, _lost(T)), eta, model.Cxx[T], model.cx[T], T)
    last, smoothed = Gaussian(m, S), []
    for t in reversed(range(T)):
        (m_z, S_z), (m_next, S_next) = filtered[t], predicted[t]
        J = np.linalg.solve(S_next, F[t] @ S_z).T
        keep = np.eye(nx + nu) - J @ F[t]
        m, S = m_z + J @ (m - m_next), _symmetric(keep @ S_z @ keep.T + J @ (S + W[t]) @ J.T)
        smoothed.insert(0, (m, S))
        m, S = m[:nx], S[:nx, :nx]
    filtered, smoothed = _stack(filtered), _stack(smoothed)
    return Smoothed(filtered, smoothed, last, condition(smoothed, nx))


def condition(joint: Gaussian, nx: int) -> Baseline:
    """The policy u | x ~ N(K x + k, cov) of joint beliefs over z = (x, u), mean (T, nz) and cov (T, nz, nz)."""
    m, S = joint.mean, joint.cov
    K = np.swapaxes(np.linalg.solve(S[:, :nx, :nx], S[:, :nx, nx:]), 1, 2)
    cov = S[:, nx:, nx:] - K @ S[:, :nx, nx:]
    return Baseline(K, m[:, nx:] - np.einsum("tij,tj->ti", K, m[:, :nx]), _symmetric(cov))


def _costs(model):
    """Hessians (T, nz, nz) and gradients (T, nz) of the stage costs."""
    H = np.block([[model.Cxx[:-1], np.swapaxes(model.Cux, 1, 2)], [model.Cux, model.Cuu]])
    return H, np.concatenate([model.cx[:-1], model.cu], axis=1)


def _observe(m, R, eta, H, g, t):
    """Belief N(m, R R') times exp(-eta (z'Hz/2 + g'z)); through R, so that no covariance is inverted."""
    root = _root(
        np.eye(len(m)) + eta * R.T @ H @ R,
        f"S^-1 + eta H is not positive definite at stage {t}: no Gaussian belief; lower eta or project the Hessians",
    )
    half = np.linalg.solve(root, R.T)
    S = half.T @ half
    return m - eta * S @ (H @ m + g), S


def _joint_root(R_x, K, R_u):
    """Factor of the covariance of (x, u) for u = K x + R_u e."""
    return np.block([[R_x, np.zeros((len(R_x), len(R_u)))], [K @ R_x, R_u]])


def _root(S, message):
    """Cholesky factor, or a ProblemError with this message; a pivot of rounding errors alone counts as zero."""
    try:
        R = np.linalg.cholesky(S)
    except np.linalg.LinAlgError as error:
        raise ProblemError(message) from error
    pivots, entries = (np.diagonal(M, axis1=-2, axis2=-1) for M in (R, S))
    if not (pivots**2 > 1e-13 * entries).all():
        raise ProblemError(message)
    return R


def _lost(t):
    return f"the state of stage {t} has a direction without spread; give the model noise, or use recursion.backward"


def _stack(beliefs):
    return Gaussian(*(np.array(part) for part in zip(*beliefs, strict=True)))


def _symmetric(S):
    return (S + np.swapaxes(S, -1, -2)) / 2
