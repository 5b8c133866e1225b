"""Learning from stored transitions: empirical models, Psi by least squares on features, and LSTD of Q as a baseline.

    Psi(x, u) = phi(x, u)'w,   w <- argmin sum_i (phi_i'w - [Psi_i - bar Psi(x_i) - eta c_i + gamma bar Psi(y_i)])^2

Rawlik, Toussaint, Vijayakumar (RSS 2012) for Psi; Lagoudakis and Parr, *Least-squares policy iteration* (JMLR 4, 2003)
for the baseline. With one feature for every pair of state and action both are exact on the empirical model.

With continuous states and controls Psi is quadratic in both, and policies are Gaussian:

    Psi(x, u) = (1, x, u)'M (1, x, u) / 2 = -u'Lambda u / 2 + u'nu(x) + psi_0(x)
    bar Psi(x) = psi_0(x) + nu'Lambda^-1 nu / 2 - log det(Lambda / 2 pi) / 2,   pi = N(Lambda^-1 nu, Lambda^-1)

Weights M are found by least squares from transitions. On linear dynamics and quadratic costs the form is closed: the
iterates are those of the backward pass about the policy before, with lambda_policy = eta and no risk.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ppi_robotics.checks import (
    as_covariance,
    as_finite,
    as_flags,
    as_floats,
    as_logs,
    as_wholes,
    check_count,
    check_function,
    check_instance,
    check_number,
    check_room,
    check_seed,
)
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.discrete.soft_policy_iteration import check_eta
from ppi_robotics.entropic import log_softmax, log_sum
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen


@dataclass(frozen=True, eq=False)
class Transitions(Record):
    """Stored transitions of a finite problem, with its allowed actions, absorbing states and discount.

    Attributes:
      state, action, after: (N,) each.
      cost: (N,).
      allowed: (S, A).
      absorbing: (S,), of value 0.
      discount: of the future.
    """

    state: np.ndarray
    action: np.ndarray
    after: np.ndarray
    cost: np.ndarray
    allowed: np.ndarray
    absorbing: np.ndarray
    discount: float = 1.0

    def __post_init__(self):
        S, A = (allowed := as_flags(self.allowed, "allowed", (None, None))).shape
        cost = as_finite(self.cost, "cost", (None,))
        if not len(cost):
            raise ProblemError("cost is empty; give one or more transitions")
        given = {"allowed": allowed, "absorbing": as_flags(self.absorbing, "absorbing", (S,)), "cost": cost}
        for name, count in (("state", S), ("action", A), ("after", S)):
            given[name] = as_wholes(getattr(self, name), name, cost.shape, 0, count - 1)
        vars(self).update({name: frozen(array, array.dtype) for name, array in given.items()})
        vars(self).update(discount=check_number(self.discount, "discount", above=0, most=1))

    def model(self) -> FiniteMDP:
        """The `FiniteMDP` of observed frequencies and mean costs; pairs that never occurred are not allowed.

        Raises:
          ProblemError: if a state occurred in no transition with an action, yet others lead to it.
        """
        S, A = self.allowed.shape
        row = self.state * A + self.action
        count = np.bincount(row, minlength=S * A)
        share = 1.0 / count[row]
        matrix = sparse.coo_matrix((share, (row, self.after)), (S * A, S)).tocsr()
        cost = np.bincount(row, self.cost * share, minlength=S * A).reshape(S, A)
        seen = count.reshape(S, A) > 0
        known = np.union1d(self.state, self.after)
        idle = known[~seen[known].any(axis=1) & ~self.absorbing[known]]
        if len(idle):
            raise ProblemError(f"state {idle[0]} was reached but never left; give transitions from it")
        outside = np.setdiff1d(np.arange(S), known)  # in no transition
        absorbing = self.absorbing.copy()
        absorbing[outside] = True
        return FiniteMDP(matrix, cost, allowed=seen, absorbing=absorbing, discount=self.discount)


def sample_transitions(mdp: FiniteMDP, count: int, seed: int = 0) -> Transitions:
    """Independent transitions from uniform pairs of a state that is not absorbing and an allowed action.

    Raises:
      ProblemError: if the problem changes over time, or a number is out of range.
    """
    if not isinstance(mdp, FiniteMDP) or mdp.stages is not None or mdp.terminal[mdp.absorbing].any():
        raise ProblemError("mdp is no stationary FiniteMDP with ends of cost 0; transitions are stored of these alone")
    count = check_count(count, "count", 1)
    check_room(count, 12 * 8, "count")
    seed = check_seed(seed)
    rng, (matrix, cost) = np.random.default_rng(seed), mdp.at(0)
    pairs = np.flatnonzero((mdp.allowed & ~mdp.absorbing[:, None]).ravel())
    row = rng.choice(pairs, count)
    ahead = np.concatenate(([0.0], np.cumsum(matrix.data)))
    level = ahead[matrix.indptr[row]] + rng.random(count) * (ahead[matrix.indptr[row + 1]] - ahead[matrix.indptr[row]])
    entry = np.clip(np.searchsorted(ahead, level, "right") - 1, matrix.indptr[row], matrix.indptr[row + 1] - 1)
    state, action = row // mdp.actions, row % mdp.actions
    known = mdp.allowed, mdp.absorbing, mdp.discount
    return Transitions(state, action, matrix.indices[entry].astype(np.int64), cost[state, action], *known)


def least_squares_psi(
    transitions: Transitions, features: ArrayLike, eta: float = 1.0, iterations: int = 100, ridge: float = 1e-9
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Psi-learning with features from stored transitions.

    Args:
      transitions: `Transitions`.
      features: phi (S, A, K).
      eta: weight of the cost, positive.
      iterations: how many.
      ridge: added to the mean of phi phi', relative to its mean diagonal.

    Returns:
      Weights w (K,), cost of acting optimally -bar Psi / eta (S,), and log pi (S, A).

    Raises:
      ProblemError: if an argument cannot be used.
    """
    eta = check_eta(eta)
    iterations = check_count(iterations, "iterations", 1)
    phi, seen = _features(transitions, features), (transitions.state, transitions.action)
    solve = _regression(phi[seen], ridge)
    w = np.zeros(phi.shape[2])
    for _ in range(iterations):
        psi, bar = phi @ w, _bar(phi @ w, transitions)
        ahead = transitions.discount * bar[transitions.after]
        w = solve(psi[seen] - bar[transitions.state] - eta * transitions.cost + ahead)
    psi = np.where(transitions.allowed, phi @ w, -np.inf)
    return w, -_bar(psi, transitions) / eta, log_softmax(psi)


def lstd_q(
    transitions: Transitions, features: ArrayLike, log_policy: ArrayLike, ridge: float = 1e-9
) -> tuple[np.ndarray, np.ndarray]:
    """Q (S, A) of a policy from stored transitions, by least-squares temporal differences on features.

    Args:
      transitions, features, ridge: as for `least_squares_psi`.
      log_policy: log pi (S, A).

    Returns:
      Weights w (K,), and Q (S, A).

    Raises:
      ProblemError: if an argument cannot be used, or the equations have no unique solution.
    """
    phi = _features(transitions, features)
    pi = np.exp(as_logs(log_policy, "log_policy", transitions.allowed.shape))
    ridge = check_number(ridge, "ridge", least=0)
    mean = np.einsum("xu,xuk->xk", np.where(transitions.allowed, pi, 0.0), phi)
    mean[transitions.absorbing] = 0.0
    now = phi[transitions.state, transitions.action]
    matrix = now.T @ (now - transitions.discount * mean[transitions.after]) / len(now)
    matrix[np.diag_indices_from(matrix)] += ridge * np.trace(now.T @ now) / now.size
    try:
        w = np.linalg.solve(matrix, now.T @ transitions.cost / len(now))
    except np.linalg.LinAlgError as error:
        raise ProblemError("the transitions do not determine Q; give more of them, or a larger ridge") from error
    return w, phi @ w


def _features(transitions, features):
    check_instance(transitions, "transitions", Transitions)
    return as_finite(features, "features", (*transitions.allowed.shape, None))


def _regression(phi, ridge):
    """Function from targets (N,) to the weights of the least squares."""
    ridge = check_number(ridge, "ridge", least=0)
    moments = phi.T @ phi / len(phi)
    moments[np.diag_indices_from(moments)] += ridge * np.trace(moments) / len(moments)
    try:
        np.linalg.cholesky(moments)
    except np.linalg.LinAlgError as error:
        raise ProblemError("the transitions do not determine the weights; give more, or a positive ridge") from error
    return lambda target: np.linalg.solve(moments, phi.T @ target / len(phi))


def _bar(psi, transitions):
    """bar Psi (S,), 0 where everything ends."""
    bar = log_sum(np.where(transitions.allowed, psi, -np.inf))
    return np.where(transitions.absorbing, 0.0, bar)


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
        vars(self).update(M=frozen(M), nx=nx)
        if np.linalg.eigvalsh(self.precision).min() <= 0.0:
            raise ProblemError("Psi has no maximum in u; expected a negative definite block of u")

    @property
    def precision(self) -> np.ndarray:
        """Lambda (nu, nu)."""
        return -self.M[1 + self.nx :, 1 + self.nx :]

    @property
    def gain(self) -> tuple[np.ndarray, np.ndarray]:
        """k (nu,) and K (nu, nx) of the mean K x + k of the policy."""
        both = np.linalg.solve(self.precision, self.M[1 + self.nx :, : 1 + self.nx])
        return both[:, 0], both[:, 1:]

    @property
    def cov(self) -> np.ndarray:
        """Covariance (nu, nu) of the policy."""
        return np.linalg.inv(self.precision)

    def __call__(self, x: ArrayLike, u: ArrayLike) -> np.ndarray:
        """Psi (...) of states (..., nx) and controls (..., nu)."""
        x = as_floats(x, "x")
        u = as_floats(u, "u", (*x.shape[:-1], len(self.precision)))
        self._check(x)
        z = np.concatenate((np.ones((*x.shape[:-1], 1)), x, u), axis=-1)
        return 0.5 * np.einsum("...i,ij,...j->...", z, self.M, z)

    def bar(self, x: ArrayLike) -> np.ndarray:
        """bar Psi (...) of states (..., nx)."""
        self._check(x := as_floats(x, "x"))
        k, K = self.gain
        _, size = np.linalg.slogdet(self.precision / (2.0 * math.pi))
        return self(x, x @ K.T + k) - 0.5 * size

    def _check(self, x):
        if x.shape[-1:] != (self.nx,):
            raise ProblemError(f"x has shape {x.shape}; expected (..., {self.nx})")


def baseline_psi(K: ArrayLike, k: ArrayLike, cov: ArrayLike) -> QuadraticPsi:
    """Psi = log N(u; K x + k, cov), of which bar Psi is 0."""
    k = as_finite(k, "k", (None,))
    K, cov = as_finite(K, "K", (len(k), None)), as_covariance(cov, "cov", len(k))
    if not len(k) or np.linalg.matrix_rank(cov) < len(k):
        raise ProblemError("cov is singular; expected a positive definite one")
    J = np.concatenate((-k[:, None], -K, np.eye(len(k))), axis=1)
    M = -J.T @ np.linalg.inv(cov) @ J
    M[0, 0] -= np.linalg.slogdet(2.0 * math.pi * cov)[1]
    return QuadraticPsi(M, K.shape[1])


def quadratic_psi_step(
    psi: QuadraticPsi,
    x: ArrayLike,
    u: ArrayLike,
    cost: ArrayLike,
    after: ArrayLike,
    eta: float = 1.0,
    discount: float = 1.0,
    ahead: Callable[[np.ndarray], np.ndarray] | None = None,
    weights: ArrayLike | None = None,
    ridge: float = 0.0,
) -> QuadraticPsi:
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
    x, after = as_finite(x, "x", (None, psi.nx)), as_finite(after, "after")
    N = len(x)
    u, cost = as_finite(u, "u", (N, len(psi.precision))), as_finite(cost, "cost", (N,))
    after = as_finite(after[:, None] if after.ndim == 2 else after, "after", (N, None, psi.nx))
    P = after.shape[1]
    if not N or not P:
        raise ProblemError("there is no transition, or none with a next state; give one or more")
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
