"""Backward and forward messages of the one scheme, on linear-quadratic-Gaussian models.

    Q_t(x, u) = C_t(x, u) + R_lS[V_{t+1}]        V_t(x) = R_lP^rho[Q_t(x, .)]        R_l[f] = -(1/l) log E exp(-l f)
    pi_t(u | x) ~ rho_t(u | x) exp(-lP Q_t(x, u))

lS = lambda_transition is the risk weight: 0 neutral, positive risk-seeking, negative risk-averse. lP = lambda_policy
weighs the cost against staying close to the baseline rho: infinity is the hard minimum, 0 evaluates the baseline.
ILQG, LEQG, PPI and AICO differ in these two numbers, the baseline, and where the model is expanded. The recursions
themselves stand in `kernels/sweep.py`, compiled for the sizes at hand, and in `kernels/square_root.py` for sums of
squares that these lose to rounding.

Source: *Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, equations 16 and 17.
"""

import functools
import math
from dataclasses import dataclass, field

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian, covariance_factor
from ppi_robotics.kernels.compiler import build
from ppi_robotics.kernels.square_root import INDEFINITE, RISK_BREAKDOWN, sweep_squares

NO_GROWTH = np.empty((0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class LocalModel:
    """Deviations about a reference, x' = A x + B u + d + G w, cost z'Cz/2 + c'z + c_0 with z = (x, u).

    Attributes:
      A, B: (T, nx, nx), (T, nx, nu).
      d: defects f(x_ref_t, u_ref_t) - x_ref_{t+1}, (T, nx); zero on a rollout.
      G: factors of the noise (T, nx, nw) at the reference.
      Cxx, Cux, Cuu: (T + 1, nx, nx), (T, nu, nx), (T, nu, nu).
      cx, cu, c0: (T + 1, nx), (T, nu), (T + 1,).
      E: growth (T, nm, nx, nx + nu) of the last nm columns of G with (x, u), for noise that is not merely additive.
    """

    A: np.ndarray
    B: np.ndarray
    d: np.ndarray
    G: np.ndarray
    Cxx: np.ndarray
    Cux: np.ndarray
    Cuu: np.ndarray
    cx: np.ndarray
    cu: np.ndarray
    c0: np.ndarray
    E: np.ndarray = field(default_factory=lambda: NO_GROWTH)

    def arrays(self):
        """The fields as the tuple that the kernels take."""
        return (self.A, self.B, self.d, self.G, self.E, self.Cxx, self.Cux, self.Cuu, self.cx, self.cu, self.c0)

    @property
    def kernels(self):
        """Sweeps compiled for the model's sizes."""
        return sweeps(*self.B.shape[1:], self.G.shape[2], self.E.shape[1])


@dataclass(frozen=True, slots=True)
class Baseline:
    """The policy N(K x + k, cov) that a soft minimum stays close to.

    Attributes:
      K, k, cov: (T, nu, nx), (T, nu), (T, nu, nu), covariances positive definite.
    """

    K: np.ndarray
    k: np.ndarray
    cov: np.ndarray


@dataclass(frozen=True, slots=True)
class Value:
    """Backward messages V_t(x) = x'Px/2 + p'x + p0.

    Attributes:
      P, p, p0: (T + 1, nx, nx), (T + 1, nx), (T + 1,).
    """

    P: np.ndarray
    p: np.ndarray
    p0: np.ndarray


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Why a backward sweep could not be completed.

    Attributes:
      kind: "risk" (I + lS G'PG is not positive definite), "indefinite" (the Hessian in the control is not), or
        "non-finite" (an entry of the model or of a value is infinite or not a number).
      stage: at which stage; -1 for the belief over the initial state.
      bound: risk: largest eigenvalue of G'PG, with the value P that this weight gives the stages ahead, and theta = -lS
        would have to be below its inverse; or for lS > 0 its smallest eigenvalue, which must exceed -1 / lS;
        indefinite: smallest eigenvalue of the Hessian in the control; non-finite: nan.
      critical: risk, in a `Solution`: largest theta = -eta that does not break down from the risk-neutral path, the
        same whatever was asked for, see `critical.largest_theta`; None where it was not looked for.
    """

    kind: str
    stage: int
    bound: float
    critical: float | None = None

    def __str__(self):
        if self.kind == "non-finite":
            return f"the model is not finite at stage {self.stage}"
        if self.kind == "indefinite":
            return f"Hessian in the control indefinite at stage {self.stage}: smallest eigenvalue {self.bound:.4g}"
        place = f"stage {self.stage}" if self.stage >= 0 else "the initial state"
        if self.critical is not None:
            return f"risk breakdown at {place}; the critical theta (-eta) is {floored(self.critical)}"
        name, limit = ("theta", 1 / self.bound) if self.bound > 0 else ("eta", -1 / self.bound)
        return f"risk breakdown at {place}: {name} exceeds {limit:.4g}, the limit there given the stages ahead"


def floored(value):
    """A positive number to three digits, rounded down."""
    decimals = 2 - math.floor(math.log10(value)) if value > 0.0 else 0
    return f"{math.floor(value * 10.0**decimals) / 10.0**decimals:.3g}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """Result of `backward`.

    Attributes:
      value: backward messages; undefined before `breakdown.stage`.
      P_ahead, p_ahead: value of the next state after the risk step, as a function of its mean, (T, nx, nx) and (T, nx).
      K, k: gains (T, nu, nx) and feedforward (T, nu) of the policy.
      H: precision of the policy over lambda_policy, (T, nu, nu); the baseline's precision where lambda_policy is 0.
      lambda_policy, lambda_transition: weights of the sweep.
      noise_price: N (T, nx + nu, nx + nu): noise that grows with z = (x, u) adds z'Nz/2 to a stage's cost; of 0 rows
        for additive noise.
      slope, curvature: the predicted cost of a times the feedforward is a slope + a^2 curvature / 2.
      breakdown: `Breakdown`, or None.
    """

    value: Value
    P_ahead: np.ndarray
    p_ahead: np.ndarray
    K: np.ndarray
    k: np.ndarray
    H: np.ndarray
    noise_price: np.ndarray
    lambda_policy: float
    lambda_transition: float
    slope: float
    curvature: float
    breakdown: Breakdown | None

    @property
    def cov(self):
        """Covariance of the policy, (T, nu, nu); zero for an infinite lambda_policy."""
        if math.isinf(self.lambda_policy):
            return np.zeros_like(self.H)
        return np.linalg.inv(self.H) / (self.lambda_policy or 1.0)


@functools.cache
def sweeps(nx, nu, nw, nm=0):
    """Compiled sweeps for sizes."""
    label = f"sweeps for {nx} states, {nu} controls"
    return build(label, 1, {"NX": nx, "NU": nu, "NZ": nx + nu, "NW": nw, "NM": nm}, (), ("sweep", "spread"))


@functools.lru_cache(maxsize=64)
def _flat(T, nx, nu, log_weight):
    """Arguments of a flat baseline: no rows, and nu log(lP / 2 pi) to complete the determinants."""
    return np.empty((0, nu, nx)), np.empty((0, nu)), np.empty((0, nu, nu)), np.full(T, nu * log_weight)


def _entries(value, n):
    """A number n times, or an array (n,) itself."""
    return value if isinstance(value, np.ndarray) else _repeated(float(value), n)


@functools.lru_cache(maxsize=64)
def _repeated(value, n):
    return np.full(n, value)


@functools.lru_cache(maxsize=64)
def _no_box(nu):
    return np.empty((0, nu, 2))


def backward(model, lambda_policy=math.inf, lambda_transition=0.0, baseline=None, damping=(0.0, 0.0), box=None):
    """The backward sweep: values and policy for any pair of weights.

    Args:
      model: `LocalModel`.
      lambda_policy: [1/cost] in [0, inf]; 0 needs a baseline.
      lambda_transition: [1/cost], any finite number.
      baseline: `Baseline`, or None for the flat one.
      damping: numbers, or (nx,) and (nu,), added to the diagonals of every stage's C_xx and control Hessian
        (Levenberg-Marquardt).
      box: bounds (T, nu, 2) of the feedforward, for the flat baseline only; gains of controls that end on one are zero.

    Returns:
      `Sweep`; where no finite value exists its `breakdown` says at which stage and which bound was crossed.

    Raises:
      ProblemError: if a weight is out of range, a baseline's covariance singular, or box and baseline are both given.
    """
    T, nx, nu = model.B.shape
    if not lambda_policy >= 0.0 or not math.isfinite(lambda_transition) or (lambda_policy == 0.0 and baseline is None):
        raise ProblemError(
            f"lambda_policy is {lambda_policy!r} and lambda_transition {lambda_transition!r}; expected lambda_policy "
            "in (0, inf], or 0 with a baseline, and a finite lambda_transition"
        )
    if box is not None and baseline is not None:
        raise ProblemError("box and baseline are both given; bounds of the feedforward need the flat baseline")
    P, p, p0 = np.empty((T + 1, nx, nx)), np.empty((T + 1, nx)), np.empty(T + 1)
    ahead = (np.empty((T, nx, nx)), np.empty((T, nx))) if lambda_transition else (P[1:], p[1:])
    K, k, H = np.empty((T, nu, nx)), np.empty((T, nu)), np.empty((T, nu, nu))
    N = np.empty((T if model.E.shape[1] else 0, nx + nu, nx + nu))
    half_inverse = 0.0 if math.isinf(lambda_policy) else (math.inf if lambda_policy == 0.0 else 0.5 / lambda_policy)
    prepared = _prepare(baseline, T, nx, nu, lambda_policy)
    damping = _entries(damping[0], nx), _entries(damping[1], nu)
    out = _no_box(nu) if box is None else box, (P, p, p0), ahead, (K, k, H), N
    ended = model.kernels.backward(model.arrays(), lambda_transition, half_inverse, prepared, damping, *out)
    # sums of squares are neither, but for rounding
    if ended[0] in (RISK_BREAKDOWN, INDEFINITE) and baseline is None and lambda_transition >= 0.0:
        ended = sweep_squares(model, lambda_transition, half_inverse, prepared[3], damping, *out) or ended
    how, stage, slope, curvature = ended
    value = Value(P, p, p0)
    if lambda_policy == 0.0:
        H = np.linalg.inv(baseline.cov)
    breakdown = None if how == 0 else _breakdown(how, stage, model, value, H, lambda_transition)
    return Sweep(value, *ahead, K, k, H, N, lambda_policy, lambda_transition, slope, curvature, breakdown)


def forward(model, sweep, x0=None):
    """The forward sweep: the mean path under the policy and the tilted dynamics.

    u = K x + k,   m = A x + B u + d,   y = P~m + p~,   w = -lS G'y,   x' = m + G w

    Args:
      model: `LocalModel`.
      sweep: `Sweep` of the same model.
      x0: deviation (nx,) of the initial state; zero by default.

    Returns:
      x (T + 1, nx), u (T, nu), disturbances w (T, nw), and multipliers of the dynamics y (T, nx).

    Raises:
      ProblemError: if the backward sweep broke down.
    """
    T, nx, nu = model.B.shape
    x, u, w, y = np.empty((T + 1, nx)), np.empty((T, nu)), np.empty((T, model.G.shape[2])), np.empty((T, nx))
    x[0] = 0.0 if x0 is None else x0
    if sweep.breakdown is not None:
        raise ProblemError(f"the backward sweep was not completed ({sweep.breakdown}); there is no policy to follow")
    how = sweep.lambda_transition, sweep.P_ahead, sweep.p_ahead, sweep.K, sweep.k
    model.kernels.forward(model.arrays(), *how, x, u, w, y)
    return x, u, w, y


def model_cost(model, x, u):
    """Cost of deviations x (T + 1, nx), u (T, nu) by the quadratic model."""
    curved = np.einsum("ti,tij,tj->", x, model.Cxx, x) + np.einsum("ti,tij,tj->", u, model.Cuu, u)
    crossed = np.einsum("ti,tij,tj->", u, model.Cux, x[:-1])
    return float(model.c0.sum() + np.vdot(model.cx, x) + np.vdot(model.cu, u) + 0.5 * curved + crossed)


def _prepare(baseline, T, nx, nu, lambda_policy):
    if baseline is None:
        log_weight = 0.0 if math.isinf(lambda_policy) else math.log(lambda_policy / (2 * math.pi))
        return _flat(T, nx, nu, log_weight)
    _check_spread(baseline.cov)
    if lambda_policy == 0.0:
        return *(np.array(a) for a in (baseline.K, baseline.k, baseline.cov)), np.zeros(T)
    weighted = np.array(baseline.cov) * (1.0 if math.isinf(lambda_policy) else lambda_policy)
    precision = np.zeros_like(weighted) if math.isinf(lambda_policy) else np.linalg.inv(weighted)
    return np.array(baseline.K), np.array(baseline.k), precision, np.linalg.slogdet(weighted)[1]


def _check_spread(cov):
    try:
        np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(cov)[:, 0]
        raise ProblemError(
            f"the baseline's covariance at stage {int(np.argmin(least))} has the eigenvalue {least.min():.3g}; "
            "expected positive definite covariances, since no policy leaves a baseline without spread"
        ) from None


def _breakdown(how, stage, model, value, H, lambda_transition):
    matrix = model.G[stage].T @ value.P[stage + 1] @ model.G[stage] if how == 1 else H[stage]
    if how == 3 or not np.isfinite(matrix).all():
        return Breakdown("non-finite", stage, math.nan)
    eigenvalues = np.linalg.eigvalsh(matrix)
    if how == 1:
        return Breakdown("risk", stage, float(eigenvalues[-1] if lambda_transition < 0 else eigenvalues[0]))
    return Breakdown("indefinite", stage, float(eigenvalues[0]))


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
