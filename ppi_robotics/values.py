"""What follows from a backward pass: values and beliefs under its policy, and how averse its weight may be.

The belief is that of the tilted dynamics: with W = G G' and J = I - lS W P~ its covariances follow

    cov z = [I; K] cov x [I; K]' + [0 0; 0 cov],   cov x' = F cov z F' + J W,   F = J [A B],   z = (x, u)

At the critical theta = -lS no finite value is left: Whittle's breakdown. P. Whittle, *Risk-sensitive optimal control*,
1990.
"""

import math
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ppi_robotics.checks import check_choice, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian, covariance_factor
from ppi_robotics.recursion import ENGINES, BackwardPass, LocalModel, backward, forward
from ppi_robotics.status import Breakdown

if TYPE_CHECKING:
    from ppi_robotics.solution import Solution

HALVINGS = 60
LARGEST = 1e12  # over the bound that the risk-neutral value gives
RISK_WEIGHTS = {"theta": 1.0, "eta": -1.0, "lambda_transition": -1.0}  # fields by name, over theta
SOLVES, PRECISION = 12, 5e-3  # of the search among solves: at most as many, and to this relative error


def model_cost(model: LocalModel, x: np.ndarray, u: np.ndarray) -> float:
    """Cost of deviations x (T + 1, nx), u (T, nu) by the quadratic model."""
    curved = np.einsum("ti,tij,tj->", x, model.Cxx, x) + np.einsum("ti,tij,tj->", u, model.Cuu, u)
    crossed = np.einsum("ti,tij,tj->", u, model.Cux, x[:-1])
    return float(model.c0.sum() + np.vdot(model.cx, x) + np.vdot(model.cu, u) + 0.5 * curved + crossed)


def initial_value(sweep: BackwardPass, initial: Gaussian) -> float | Breakdown:
    """Risk-weighted value of a belief over the deviation of the initial state, by one more risk step.

    Args:
      sweep: `BackwardPass`.
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


def marginals(model: LocalModel, sweep: BackwardPass, initial: Gaussian, engine: str = "compiled") -> Gaussian:
    """Belief over the states under the policy and the tilted dynamics: means and covariances of every stage.

    For lambda_policy = lambda_transition these are the smoothed marginals given that every cost was "observed".

    Args:
      model: `LocalModel`.
      sweep: `BackwardPass` of the same model.
      initial: `Gaussian` over the deviation of the initial state.
      engine: as for `backward`.

    Returns:
      `Gaussian` with mean (T + 1, nx) and cov (T + 1, nx, nx).
    """
    lS, P, p = sweep.lambda_transition, sweep.value.P[0], sweep.value.p[0]
    # the initial belief is tilted like every transition
    cov = tilt(initial.cov, lS, P)
    x, _, _, _ = forward(model, sweep, initial.mean - lS * cov @ (P @ initial.mean + p), engine)
    return Gaussian(x, _propagated(model, sweep, lS, cov, sweep.cov, np.empty((0, 0, 0)), engine))


def joint_covariances(
    model: LocalModel,
    sweep: BackwardPass,
    initial_cov: np.ndarray,
    tilted: bool,
    own_noise: bool = False,
    engine: str = "compiled",
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances of state and control under a policy.

    Args:
      model: `LocalModel`.
      sweep: `BackwardPass` of the same model.
      initial_cov: (nx, nx), of the initial state.
      tilted: under the tilted dynamics, which is the belief; otherwise under the noise itself, which is what rollouts
        of the policy show.
      own_noise: whether the policy draws its controls; otherwise its mean acts.
      engine: as for `backward`.

    Returns:
      covariances of (x_t, u_t), (T, nx + nu, nx + nu), and of x_T, (nx, nx).
    """
    T, nx, nu = model.B.shape
    lS, Z = sweep.lambda_transition if tilted else 0.0, np.empty((T, nx + nu, nx + nu))
    cov = sweep.cov if own_noise else np.empty((0, nu, nu))
    return Z, _propagated(model, sweep, lS, tilt(initial_cov, lS, sweep.value.P[0]), cov, Z, engine)[T]


def _propagated(model, sweep, lS, first, cov, Z, engine):
    """Covariances of the states (T + 1, nx, nx) from the first on; Z takes those of (x, u) unless it has no rows."""
    S = np.empty((len(sweep.p_ahead) + 1, *first.shape))
    S[0] = first
    if engine != "compiled" and check_choice(engine, "engine", ENGINES):
        covariances_reference(model, lS, sweep.P_ahead, sweep.K, cov, S, Z)
    else:
        model.kernels.propagate_covariances(model.arrays(), lS, sweep.P_ahead, sweep.K, cov, S, Z)
    return S


def covariances_reference(model, lS, P_ahead, K, cov, S, Z):
    """The covariances above, into S and Z, in numpy."""
    nx = model.A.shape[1]
    for t, gain in enumerate(K):
        W, feedback = model.G[t] @ model.G[t].T, np.vstack((np.eye(nx), gain))
        J, joint = np.eye(nx) - lS * W @ P_ahead[t], feedback @ S[t] @ feedback.T
        if len(cov):
            joint[nx:, nx:] += cov[t]
        if len(Z):
            Z[t] = joint
        F = J @ np.hstack((model.A[t], model.B[t]))
        S[t + 1] = F @ joint @ F.T + J @ W


def tilt(cov: np.ndarray, lS: float, P: np.ndarray) -> np.ndarray:
    """Covariance of N(., cov) times exp(-lS x'Px / 2)."""
    return np.linalg.inv(np.eye(len(cov)) + lS * cov @ P) @ cov if cov.any() else cov


# -- breakdown ---------------------------------------------------------------------------------------------------------


def critical_theta(solution: "Solution | LocalModel") -> float:
    """Largest theta for which the risk-averse sweep along a solution's path has a finite value.

    It is found by bisection along the local model of the solution, for instance of ILQG. A solve with LEQG moves the
    path, and may break down sooner: its own limit is `largest_theta`. Uncertainty of the initial state counts as one
    more risk step. Where limits act, their barriers are part of the model. (P. Whittle, *Risk-sensitive optimal
    control*, 1990.)

    Args:
      solution: `Solution`, or a `LocalModel`, whose initial state is certain.

    Returns:
      theta [1/cost] (float); inf where nothing breaks down, as without noise.

    Raises:
      ProblemError: if there is no local model, or the risk-neutral sweep fails already.
    """
    model = solution if isinstance(solution, LocalModel) else getattr(solution, "model", None)
    if not isinstance(model, LocalModel):
        raise ProblemError(f"solution is {shown(solution)}; expected a Solution with feedback, or a LocalModel")
    return _along(model, np.zeros((model.A.shape[1],) * 2) if model is solution else solution.initial.cov)


def largest_theta(problem, method, model: LocalModel, path: tuple, stopped) -> float | None:
    """Largest theta = -eta at which a method's averse phase, from the risk-neutral path, does not break down.

    It is found by bisection between 0 and the critical theta along that path, and does not depend on the method's own
    weight. The method converges at it, and breaks down 0.5 % above.

    Args:
      problem: `Problem`.
      method: with a field theta, eta or lambda_transition; its last phase is the averse one.
      model: `LocalModel` about the risk-neutral path.
      path: its states (T + 1, nx) and controls (T, nu).
      stopped: function that tells whether to give up.

    Returns:
      theta [1/cost] (float); None if none is found, or the search is stopped.
    """
    low, high = 0.0, _along(model, problem.initial.cov)
    if not math.isfinite(high):
        return None
    for _ in range(SOLVES):
        if high - low <= PRECISION * high:
            break
        middle = 0.5 * (low + high)
        finite = _survives(problem, _averse(method, middle), path, stopped)
        if stopped():
            return None
        low, high = (middle, high) if finite else (low, middle)
    return low or None


def risk_field(method):
    """Name of the field that holds a method's risk weight; None where there is none, as in methods of other kinds."""
    names = {field.name for field in fields(method)} if is_dataclass(method) else set()
    return next((name for name in RISK_WEIGHTS if name in names), None)


def _averse(method, theta):
    """The method at a risk weight."""
    name = risk_field(method)
    return replace(method, **{name: RISK_WEIGHTS[name] * theta})


def _survives(problem, method, path, stopped):
    """Whether the last phase of a method ends without a breakdown, from the path of the phase before it."""
    phase = method.plan(problem).phases[-1]
    iterate = phase.begin(problem, *path)
    for _ in range(method.max_iterations):
        if iterate.status is not None or stopped():
            break
        iterate, _ = phase.advance(problem, iterate, 1)
    return iterate.status is None or not iterate.status.lost


def _along(model, cov):
    """Largest theta with a finite value along a local model, whose initial state has this covariance."""
    start = Gaussian(np.zeros(len(cov)), cov)
    if not _finite(model, start, 0.0):
        raise ProblemError("the risk-neutral sweep along this path fails already; solve it with ILQG first")
    low, high = 0.0, _bound(model, cov)
    if high == math.inf:
        return math.inf
    farthest = LARGEST * high
    while _finite(model, start, high):  # never, but for values that are not convex, and rounding
        low, high = high, 4.0 * high
        if not high < farthest:
            return math.inf
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _finite(model, start, middle) else (low, middle)
    return low


def _bound(model, cov):
    """1 over the largest curvature of the risk-neutral value along the noise, which averse weights only raise."""
    P = backward(model).value.P
    factor = covariance_factor(cov)
    curved = (np.swapaxes(model.G, 1, 2) @ P[1:] @ model.G, factor.T @ P[0] @ factor)
    largest = max((float(np.linalg.eigvalsh(part).max()) for part in curved if part.size), default=0.0)
    return 1.0 / largest if largest > 0.0 else math.inf


def _finite(model, start, theta):
    sweep = backward(model, math.inf, -theta)
    return sweep.breakdown is None and not isinstance(initial_value(sweep, start), Breakdown)
