"""Psi-learning with continuous states and controls: Psi quadratic in both, and policies Gaussian.

    Psi(x, u) = (1, x, u)'M (1, x, u) / 2 = -u'Lambda u / 2 + u'nu(x) + psi_0(x)
    bar Psi(x) = psi_0(x) + nu'Lambda^-1 nu / 2 - log det(Lambda / 2 pi) / 2,   pi = N(Lambda^-1 nu, Lambda^-1)

Weights M are found by least squares from transitions, as for tables; Rawlik, Toussaint, Vijayakumar (RSS 2012). On
linear dynamics and quadratic costs the form is closed: the iterates are those of the backward sweep about the policy
before, with lambda_policy = eta and no risk.
"""

import math
from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import (
    as_covariance,
    as_finite,
    as_floats,
    check_count,
    check_function,
    check_instance,
    check_number,
)
from ppi_robotics.discrete.iterations import check_eta
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen

FLOOR = 1e-6  # smallest eigenvalue of Lambda, relative to its largest, that a fit is projected to


@dataclass(frozen=True, eq=False)
class QuadraticPsi(Record):
    """Psi by the symmetric matrix M (1 + nx + nu, 1 + nx + nu) of its quadratic form in (1, x, u).

    Attributes:
      M: the matrix; the block of u is -Lambda, negative definite.
      nx: number of states.

    Raises:
      ProblemError: if Lambda is not positive definite.
    """

    M: np.ndarray
    nx: int

    def __post_init__(self):
        M = as_finite(self.M, "M", (None, None))
        nx = check_count(self.nx, "nx", 0, max(len(M) - 2, 0))
        if M.shape[0] != M.shape[1] or len(M) < 2:
            raise ProblemError(f"M has shape {M.shape}; expected (1 + nx + nu, 1 + nx + nu), a control or more")
        object.__setattr__(self, "M", frozen(M))
        object.__setattr__(self, "nx", nx)
        if np.linalg.eigvalsh(self.precision).min() <= 0.0:
            raise ProblemError("Psi has no maximum in u; expected a negative definite block of u")

    @property
    def precision(self):
        """Lambda (nu, nu)."""
        return -self.M[1 + self.nx :, 1 + self.nx :]

    @property
    def gain(self):
        """k (nu,) and K (nu, nx) of the mean K x + k of the policy."""
        both = np.linalg.solve(self.precision, self.M[1 + self.nx :, : 1 + self.nx])
        return both[:, 0], both[:, 1:]

    @property
    def cov(self):
        """Covariance (nu, nu) of the policy."""
        return np.linalg.inv(self.precision)

    def __call__(self, x, u):
        """Psi (...) of states (..., nx) and controls (..., nu)."""
        x, u = as_floats(x, "x"), as_floats(u, "u")
        if x.shape[-1:] != (self.nx,) or u.shape != (*x.shape[:-1], len(self.precision)):
            raise ProblemError(
                f"x has shape {x.shape} and u {u.shape}; expected {self.nx} and {len(self.precision)} last"
            )
        z = np.concatenate((np.ones((*x.shape[:-1], 1)), x, u), axis=-1)
        return 0.5 * np.einsum("...i,ij,...j->...", z, self.M, z)

    def bar(self, x):
        """bar Psi (...) of states (..., nx)."""
        x = as_floats(x, "x")
        if x.shape[-1:] != (self.nx,):
            raise ProblemError(f"x has shape {x.shape}; expected (..., {self.nx})")
        k, K = self.gain
        _, size = np.linalg.slogdet(self.precision / (2.0 * math.pi))
        return self(x, x @ K.T + k) - 0.5 * size


def baseline_psi(K, k, cov):
    """Psi = log N(u; K x + k, cov), of which bar Psi is 0."""
    k = as_finite(k, "k", (None,))
    K, cov = as_finite(K, "K", (len(k), None)), as_covariance(cov, "cov", len(k))
    if not len(k) or np.linalg.matrix_rank(cov) < len(k):
        raise ProblemError("cov is singular; expected a positive definite one")
    J = np.concatenate((-k[:, None], -K, np.eye(len(k))), axis=1)
    M = -J.T @ np.linalg.inv(cov) @ J
    M[0, 0] -= np.linalg.slogdet(2.0 * math.pi * cov)[1]
    return QuadraticPsi(M, K.shape[1])


def quadratic_psi_step(psi, x, u, cost, after, eta=1.0, discount=1.0, ahead=None, weights=None, ridge=0.0):
    """One iteration from transitions: the fit of Psi - bar Psi - eta c + gamma bar Psi(y).

    Args:
      psi: `QuadraticPsi` before.
      x, u, cost: transitions (N, nx), (N, nu), (N,).
      after: next states (N, nx), or (N, P, nx) that stand for an expectation, such as points of a cubature.
      eta: weight of the cost, positive.
      discount: of the future.
      ahead: function from states (..., nx) to bar Psi of the next stage; that of `psi` by default.
      weights: of the points (P,); equal by default.
      ridge: added to the mean of phi phi', relative to its mean diagonal.

    Returns:
      `QuadraticPsi`, its Lambda projected to be positive definite.

    Raises:
      ProblemError: if shapes do not fit, or the transitions do not determine the fit.
    """
    check_instance(psi, "psi", QuadraticPsi)
    eta, ridge = check_eta(eta), check_number(ridge, "ridge", least=0)
    discount = check_number(discount, "discount", least=0, most=1)
    check_function(ahead, "ahead", "states (..., nx)")
    x, u, cost, after = (as_finite(part, name) for name, part in (("x", x), ("u", u), ("cost", cost), ("after", after)))
    after = after[:, None] if after.ndim == 2 else after
    apart = (x.ndim, u.ndim, cost.ndim, after.ndim) != (2, 2, 1, 3) or len(set(map(len, (x, u, cost, after)))) > 1
    if apart or after.shape[-1] != x.shape[1] or not after.size:
        raise ProblemError(
            f"x, u, cost and after have shapes {x.shape}, {u.shape}, {cost.shape}, {after.shape}; "
            "expected (N, nx), (N, nu), (N,), and (N, nx) or (N, P, nx)"
        )
    P = after.shape[1]
    weights = np.full(P, 1.0 / P) if weights is None else as_finite(weights, "weights", (P,))
    future = (psi.bar if ahead is None else ahead)(after) @ weights
    target = psi(x, u) - psi.bar(x) - eta * cost + discount * future
    z = np.concatenate((np.ones((len(x), 1)), x, u), axis=1)
    row, column = np.triu_indices(z.shape[1])
    phi = z[:, row] * z[:, column] * np.where(row == column, 0.5, 1.0)
    if ridge:
        scale = math.sqrt(ridge * np.mean(phi**2) * len(phi))
        phi, target = np.vstack((phi, scale * np.eye(len(row)))), np.concatenate((target, np.zeros(len(row))))
    w, _, rank, _ = np.linalg.lstsq(phi, target)
    if rank < len(row):
        raise ProblemError(
            f"the transitions determine {rank} of {len(row)} weights; vary states and controls, or give a ridge"
        )
    M = np.zeros((z.shape[1], z.shape[1]))
    M[row, column] = M[column, row] = w
    return QuadraticPsi(_projected(M, x.shape[1]), x.shape[1])


def _projected(M, nx):
    """M with the eigenvalues of its Lambda at least FLOOR of their largest size."""
    values, vectors = np.linalg.eigh(-M[1 + nx :, 1 + nx :])
    least = FLOOR * np.abs(values).max()
    if values.min() < least:
        M[1 + nx :, 1 + nx :] = -(vectors * np.maximum(values, least)) @ vectors.T
    return M
