"""The recursion that all methods share: its equations, these equations in numpy, and the same compiled.

    Q_t(x, u) = C_t(x, u) + R_lS[V_{t+1}]        V_t(x) = R_lP^rho[Q_t(x, .)]        R_l[f] = -(1/l) log E exp(-l f)
    pi_t(u | x) ~ rho_t(u | x) exp(-lP Q_t(x, u))

lS = lambda_transition is the risk weight: 0 neutral, positive risk-seeking, negative risk-averse. lP = lambda_policy
weighs the cost against staying close to the baseline rho: infinity is the hard minimum, 0 evaluates the baseline.
ILQG, LEQG, PPI and AICO differ in these two numbers, the baseline, and where the model is expanded. On a local model

    x' = A x + B u + d + G w,  w ~ N(0, I);   stage cost z'C z/2 + c'z + c_0,  z = (x, u);   V = x'P x/2 + p'x + p_0

with rho = N(K_r x + k_r, S_r) the values and policies of all stages are found backward from V_T = C_T, a row at a time:

    risk     M = I + lS G'PG,   P~ = P - lS PG M^-1 G'P,   p~ = p - lS PG M^-1 G'p
             p~_0 = p_0 - lS/2 p'G M^-1 G'p + log det M / 2 lS                               [lS = 0: p_0 + tr(G'PG)/2]
    Q        Q_xx = C_xx + A'P~A,   Q_ux = C_ux + B'P~A,   Q_uu = C_uu + B'P~B
             q_x = c_x + A'(P~d + p~),   q_u = c_u + B'(P~d + p~),   q_0 = c_0 + d'P~d/2 + p~'d + p~_0
    noise    the last columns g_i of G grow as g_i + E_i z:   Q_zz += N = sum E_i'P~E_i,   q_z += sum E_i'P~g_i
    policy   in v = u - K_r x - k_r:   H = Q_uu + (lP S_r)^-1,   v = K x + k,   K = -H^-1 Q_ux,   k = -H^-1 q_u
             P = Q_xx + Q_ux'K,   p = q_x + Q_ux'k,   p_0 = q_0 + q_u'k + k'Hk/2 + log det(I + lP S_r Q_uu) / 2 lP

and the mean path forward, under the policy and the tilted dynamics:

    path     u = K x + k,   m = A x + B u + d,   y = P~m + p~,   w = -lS G'y,   x' = m + G w

The flat baseline has K_r = k_r = 0, H = Q_uu and log det(lP Q_uu / 2 pi) for the last term. The functions that
follow are these rows in numpy. `backward` and `forward` run them, or `kernels/sweep.py`, which is the same compiled for
the sizes at hand, with `kernels/square_root.py` for sums of squares that it loses to rounding.

Source: *Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, equations 16 and 17.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ppi_robotics.checks import check_choice
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels.square_root import DONE, INDEFINITE, NON_FINITE, RISK_BREAKDOWN, box_minimizer, sweep_squares
from ppi_robotics.status import Breakdown, breakdown_at

NO_GROWTH, NO_PRICE = np.empty((0, 0, 0, 0)), np.empty((0, 0, 0))
ENGINES = "compiled", "reference"
Form = tuple[np.ndarray, np.ndarray, float]  # (P, p, p_0) of x'P x/2 + p'x + p_0


# -- the equations in numpy --------------------------------------------------------------------------------------------


def risk_step(V: Form, G: np.ndarray, lS: float) -> Form:
    """(P~, p~, p~_0) for the value V = (P, p, p_0) of the next state; `LinAlgError` unless M is positive definite."""
    P, p, p0 = V
    if lS == 0.0:
        return P, p, p0 + 0.5 * np.trace(G.T @ P @ G)
    L = np.linalg.cholesky(np.eye(G.shape[1]) + lS * G.T @ P @ G)
    Y, y = np.linalg.solve(L, G.T @ P), np.linalg.solve(L, G.T @ p)
    return P - lS * Y.T @ Y, p - lS * Y.T @ y, p0 - 0.5 * lS * y @ y + np.log(np.diag(L)).sum() / lS


def q_step(model: LocalModel, t: int, V: Form) -> tuple:
    """(Q_xx, Q_ux, Q_uu, q_x, q_u, q_0) of stage t for the softened value V = (P~, p~, p~_0) after it."""
    (P, p, p0), A, B, d = V, model.A[t], model.B[t], model.d[t]
    e = P @ d + p
    curved = model.Cxx[t] + A.T @ P @ A, model.Cux[t] + B.T @ P @ A, model.Cuu[t] + B.T @ P @ B
    return *curved, model.cx[t] + A.T @ e, model.cu[t] + B.T @ e, model.c0[t] + 0.5 * d @ (e + p) + p0


def noise_step(model: LocalModel, t: int, P: np.ndarray, Q: tuple) -> tuple[tuple, np.ndarray]:
    """Q with what noise costs that grows with state and control, and N, for the softened P~."""
    (Qxx, Qux, Quu, qx, qu, q0), E, nx = Q, model.E[t], len(P)
    N = np.einsum("mij,ik,mkl->jl", E, P, E)
    n = np.einsum("im,ik,mkl->l", model.G[t][:, -len(E) :], P, E)
    return (Qxx + N[:nx, :nx], Qux + N[nx:, :nx], Quu + N[nx:, nx:], qx + n[:nx], qu + n[nx:], q0), N


def about_baseline(rho: tuple, Q: tuple) -> tuple:
    """Q as a function of x and v = u - K_r x - k_r."""
    (K, k, _), (Qxx, Qux, Quu, qx, qu, q0) = rho, Q
    Rux, ru = Qux + Quu @ K, qu + Quu @ k
    return Qxx + K.T @ Rux + Qux.T @ K, Rux, Quu, qx + Qux.T @ k + K.T @ ru, ru, q0 + 0.5 * k @ (qu + ru)


def policy_step(Q: tuple, rho: tuple | None, lP: float, damping: np.ndarray, limits, H: np.ndarray) -> tuple:
    """(K, k) of v, V and (q_u'k, k'Hk) for rho = (K_r, k_r, S_r), None if flat; `LinAlgError` unless H > 0.

    H, which is filled, has the damping on its diagonal. The gains of controls that end on one of the limits are zero.
    """
    Qxx, Qux, Quu, qx, qu, q0 = Q
    K, k, free = np.zeros_like(Qux), np.zeros_like(qu), np.ones(len(qu), dtype=bool)
    if lP == 0.0:  # v has mean 0 and covariance S_r
        H[:] = np.linalg.inv(rho[2])
        return (K, k), (0.5 * (Qxx + Qxx.T), qx, q0 + 0.5 * np.trace(rho[2] @ Quu)), (0.0, 0.0)
    H[:] = Quu + np.diag(damping) + (0.0 if rho is None else np.linalg.inv(rho[2]) / lP)
    L = np.linalg.cholesky(H)
    k = -np.linalg.solve(H, qu)
    if limits is not None:
        k, free = box_minimizer(L.T, np.zeros_like(qu), qu, limits)
    H_free, linear, quadratic = H[np.ix_(free, free)], qu @ k, k @ H @ k
    K[free] = -np.linalg.solve(H_free, Qux[free])
    P, p, p0 = Qxx + Qux.T @ K, qx + Qux.T @ k, q0 + linear + 0.5 * quadratic
    if np.isfinite(lP):
        constant = len(qu) * np.log(lP / (2.0 * np.pi)) if rho is None else np.linalg.slogdet(lP * rho[2])[1]
        p0 += (np.linalg.slogdet(H_free)[1] + constant) / (2.0 * lP)
    return (K, k), (0.5 * (P + P.T), p, p0), (linear, quadratic)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite is found at its stage
def backward_reference(model, lP, lS, baseline, damping, box, out):
    """The rows from the last stage to the first, into the arrays of `_room`; returns what the compiled `backward` does.

    It is slower than that, but answers at once, as nothing is compiled for it.
    """
    ((P, p, p0), (P_ahead, p_ahead), (K, k, H), N), T, line = out, len(model.B), np.zeros(2)
    V = 0.5 * (model.Cxx[T] + model.Cxx[T].T) + np.diag(damping[0]), model.cx[T], model.c0[T]
    P[T], p[T], p0[T] = V
    for t in reversed(range(T)):
        rho = None if baseline is None else (baseline.K[t], baseline.k[t], baseline.cov[t])
        limits, how = None if box is None else box[t], RISK_BREAKDOWN
        try:
            V = risk_step(V, model.G[t], lS)
            P_ahead[t], p_ahead[t] = V[:2]
            Q, how = q_step(model, t, V), INDEFINITE
            if len(N):
                Q, N[t] = noise_step(model, t, V[0], Q)
            Q = Q if rho is None else about_baseline(rho, Q)
            Q = Q[0] + np.diag(damping[0]), *Q[1:]
            (K[t], k[t]), V, part = policy_step(Q, rho, lP, damping[1], limits, H[t])
        except np.linalg.LinAlgError:
            return how, t, *map(float, line)
        if rho is not None:
            K[t], k[t] = K[t] + rho[0], k[t] + rho[1]
        P[t], p[t], p0[t] = V
        line += part
        if not np.isfinite(p0[t] + P[t].trace() + p[t].sum()):
            return NON_FINITE, t, *map(float, line)
    return DONE, -1, *map(float, line)


def forward_reference(model, lS, P_ahead, p_ahead, K, k, x, u, w, y):
    """The path from x_0 on, into x, u, w and y."""
    for t in range(len(u)):
        u[t] = K[t] @ x[t] + k[t]
        m = model.A[t] @ x[t] + model.B[t] @ u[t] + model.d[t]
        y[t] = P_ahead[t] @ m + p_ahead[t]
        w[t] = -lS * model.G[t].T @ y[t]
        x[t + 1] = m + model.G[t] @ w[t]


# -- records -----------------------------------------------------------------------------------------------------------


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

    def arrays(self) -> tuple:
        """The fields as the tuple that the kernels take."""
        return (self.A, self.B, self.d, self.G, self.E, self.Cxx, self.Cux, self.Cuu, self.cx, self.cu, self.c0)

    @property
    def kernels(self) -> ModuleType:
        """The recursion compiled for the model's sizes."""
        return compiled(*self.B.shape[1:], self.G.shape[2], self.E.shape[1])


@dataclass(frozen=True, slots=True)
class Baseline:
    """The policy N(K x + k, cov) that a soft minimum stays close to.

    Attributes:
      K, k, cov: (T, nu, nx), (T, nu), (T, nu, nu), covariances positive definite.
    """

    K: np.ndarray
    k: np.ndarray
    cov: np.ndarray


class Value(NamedTuple):
    """Backward messages V_t(x) = x'Px/2 + p'x + p0.

    Attributes:
      P, p, p0: (T + 1, nx, nx), (T + 1, nx), (T + 1,).
    """

    P: np.ndarray
    p: np.ndarray
    p0: np.ndarray


class BackwardPass(NamedTuple):  # a frozen dataclass would take a tenth of the time of a small pass to be made
    """Result of `backward`.

    Attributes:
      value: backward messages; undefined before `breakdown.stage`.
      P_ahead, p_ahead: value of the next state after the risk step, as a function of its mean, (T, nx, nx) and (T, nx).
      K, k: gains (T, nu, nx) and feedforward (T, nu) of the policy.
      H: precision of the policy over lambda_policy, (T, nu, nu); the baseline's precision where lambda_policy is 0.
      lambda_policy, lambda_transition: its weights.
      noise_price: N (T, nx + nu, nx + nu): noise that grows with z = (x, u) adds z'Nz/2 to a stage's cost; empty for
        additive noise.
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
    def cov(self) -> np.ndarray:
        """Covariance of the policy, (T, nu, nu); zero for an infinite lambda_policy."""
        if math.isinf(self.lambda_policy):
            return np.zeros_like(self.H)
        return np.linalg.inv(self.H) / (self.lambda_policy or 1.0)


# -- compiled ----------------------------------------------------------------------------------------------------------


@functools.cache
def compiled(nx: int, nu: int, nw: int, nm: int = 0) -> ModuleType:
    """The recursion compiled for sizes."""
    from ppi_robotics.kernels.compiler import build  # numba takes longer to import than the equations need

    label = f"the recursion for {nx} states, {nu} controls"
    return build(label, 1, {"NX": nx, "NU": nu, "NZ": nx + nu, "NW": nw, "NM": nm}, (), ("sweep", "step"))


def backward(
    model: LocalModel,
    lambda_policy: float = math.inf,
    lambda_transition: float = 0.0,
    baseline: Baseline | None = None,
    damping: tuple = (0.0, 0.0),
    box: np.ndarray | None = None,
    engine: str = "compiled",
) -> BackwardPass:
    """The backward pass: values and policy for any pair of weights.

    Args:
      model: `LocalModel`.
      lambda_policy: [1/cost] in [0, inf]; 0 needs a baseline.
      lambda_transition: [1/cost], any finite number.
      baseline: `Baseline`, or None for the flat one.
      damping: numbers, or (nx,) and (nu,), added to the diagonals of every stage's C_xx and control Hessian
        (Levenberg-Marquardt).
      box: bounds (T, nu, 2) of the feedforward, for the flat baseline only; gains of controls that end on one are zero.
      engine: "compiled", or "reference" for numpy.

    Returns:
      `BackwardPass`; where no finite value exists its `breakdown` says at which stage and which bound was crossed.

    Raises:
      ProblemError: if a weight is out of range, a baseline's covariance singular, or box and baseline are both given.
    """
    _check_arguments(lambda_policy, lambda_transition, baseline, box)
    (T, nx, nu), out, lP, lS = model.B.shape, _room(model, lambda_transition), lambda_policy, lambda_transition
    a, b = damping
    damping = a if isinstance(a, np.ndarray) else _repeated(a, nx), b if isinstance(b, np.ndarray) else _repeated(b, nu)
    if engine != "compiled" and check_choice(engine, "engine", ENGINES):
        return _finished(model, out, backward_reference(model, lP, lS, baseline, damping, box, out), lP, lS)
    half_inverse = 0.0 if math.isinf(lP) else (math.inf if lP == 0.0 else 0.5 / lP)
    rho = _flat(T, nx, nu, lP) if baseline is None else _weighted(baseline, lP)
    more = damping, _no_box(nu) if box is None else box, *out
    ended = model.kernels.backward(model.arrays(), lS, half_inverse, rho, *more)
    # sums of squares are neither, but for rounding
    if ended[0] in (RISK_BREAKDOWN, INDEFINITE) and baseline is None and lS >= 0.0:
        ended = sweep_squares(model, lS, half_inverse, rho[3], *more) or ended
    if lP == 0.0:
        out[2][2][:] = np.linalg.inv(baseline.cov)
    return _finished(model, out, ended, lP, lS)


def forward(
    model: LocalModel, sweep: BackwardPass, x0: np.ndarray | None = None, engine: str = "compiled"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The forward pass: the mean path under the policy and the tilted dynamics.

    Args:
      model: `LocalModel`.
      sweep: `BackwardPass` of the same model.
      x0: deviation (nx,) of the initial state; zero by default.
      engine: "compiled", or "reference" for numpy.

    Returns:
      x (T + 1, nx), u (T, nu), disturbances w (T, nw), and multipliers of the dynamics y (T, nx).

    Raises:
      ProblemError: if the backward pass broke down.
    """
    if sweep.breakdown is not None:
        raise ProblemError(f"the backward pass was not completed ({sweep.breakdown}); there is no policy to follow")
    (T, nx, nu), nw = model.B.shape, model.G.shape[2]
    x, u, w, y = np.empty((T + 1, nx)), np.empty((T, nu)), np.empty((T, nw)), np.empty((T, nx))
    x[0] = 0.0 if x0 is None else x0
    how = sweep.lambda_transition, sweep.P_ahead, sweep.p_ahead, sweep.K, sweep.k
    if engine != "compiled" and check_choice(engine, "engine", ENGINES):
        forward_reference(model, *how, x, u, w, y)
    else:
        model.kernels.forward(model.arrays(), *how, x, u, w, y)
    return x, u, w, y


def _check_arguments(lambda_policy, lambda_transition, baseline, box):
    if not lambda_policy >= 0.0 or not math.isfinite(lambda_transition) or (lambda_policy == 0.0 and baseline is None):
        raise ProblemError(
            f"lambda_policy is {lambda_policy!r} and lambda_transition {lambda_transition!r}; expected lambda_policy "
            "in (0, inf], or 0 with a baseline, and a finite lambda_transition"
        )
    if baseline is None:
        return
    if box is not None:
        raise ProblemError("box and baseline are both given; bounds of the feedforward need the flat baseline")
    try:
        np.linalg.cholesky(baseline.cov)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(baseline.cov)[:, 0]
        raise ProblemError(
            f"the baseline's covariance at stage {int(np.argmin(least))} has the eigenvalue {least.min():.3g}; "
            "expected positive definite covariances, since no policy leaves a baseline of zero variance"
        ) from None


def _room(model, lS):
    """Arrays for the values, the values after the risk step, the policy, and N."""
    (T, nx, nu), nm = model.B.shape, model.E.shape[1]
    P, p, p0 = np.empty((T + 1, nx, nx)), np.empty((T + 1, nx)), np.empty(T + 1)
    ahead = (np.empty((T, nx, nx)), np.empty((T, nx))) if lS else (P[1:], p[1:])
    policy = np.empty((T, nu, nx)), np.empty((T, nu)), np.empty((T, nu, nu))
    return (P, p, p0), ahead, policy, np.empty((T, nx + nu, nx + nu)) if nm else NO_PRICE


def _finished(model, room, ended, lP, lS):
    """`BackwardPass` from its arrays, and how it ended, at which stage, slope and curvature."""
    (P, p, p0), (P_ahead, p_ahead), (K, k, H), N = room
    how, t, slope, curvature = ended
    breakdown = None
    if how == RISK_BREAKDOWN:
        breakdown = breakdown_at(t, "risk", model.G[t].T @ P[t + 1] @ model.G[t], lS < 0.0)
    elif how != DONE:
        breakdown = breakdown_at(t, "indefinite", H[t] if how == INDEFINITE else np.full((1, 1), np.nan))
    return BackwardPass(Value(P, p, p0), P_ahead, p_ahead, K, k, H, N, lP, lS, slope, curvature, breakdown)


def _weighted(baseline, lP):
    """A baseline as compiled code takes it: K_r, k_r, (lP S_r)^-1 or, to evaluate it, S_r, and log det(lP S_r)."""
    K, k, cov = (np.array(a) for a in (baseline.K, baseline.k, baseline.cov))
    if lP == 0.0 or math.isinf(lP):
        return K, k, cov if lP == 0.0 else np.zeros_like(cov), np.zeros(len(k))
    return K, k, np.linalg.inv(lP * cov), np.linalg.slogdet(lP * cov)[1]


@functools.lru_cache(maxsize=64)
def _flat(T, nx, nu, lP):
    """The same for the flat baseline: no rows, and nu log(lP / 2 pi)."""
    constant = 0.0 if math.isinf(lP) else nu * math.log(lP / (2 * math.pi))
    return np.empty((0, nu, nx)), np.empty((0, nu)), np.empty((0, nu, nu)), np.full(T, constant)


_repeated = functools.lru_cache(maxsize=64)(lambda value, n: np.full(n, value, float))
_no_box = functools.lru_cache(maxsize=64)(lambda nu: np.empty((0, nu, 2)))
