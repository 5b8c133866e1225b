"""Local models about a trajectory: by derivatives, or by means over a belief, and the rules for such means.

    z ~ N(mean, S),  S = L L':   E f(z) = sum_i w_i f(z_i),   z_i = mean + L xi_i

    cubature       xi = +-sqrt(n) e_j,  w = 1 / 2n
    unscented      xi = 0, +-sqrt(n + l) e_j,  l = alpha^2 (n + kappa) - n,  w_i = 1 / 2(n + l),
                   w_0 = l / (n + l), for covariances w_0 + 1 - alpha^2 + beta
    gauss_hermite  the grid of the q-point rule of every axis, with the products of its weights

All have sum w xi = 0 and sum w xi xi' = I. I. Arasaratnam, S. Haykin, *Cubature Kalman filters* (IEEE TAC, 2009);
R. van der Merwe, *Sigma-point Kalman filters* (PhD thesis, OHSU, 2004); K. Ito, K. Xiong, *Gaussian filters for
nonlinear filtering problems* (IEEE TAC, 2000).
"""

import functools
from dataclasses import dataclass, fields

import numpy as np

from ppi_robotics.checks import check_choice, check_count, check_number, shown
from ppi_robotics.derivatives import project
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen, writable
from ppi_robotics.kernels.algebra import semidefinite_roots
from ppi_robotics.kernels.compiler import STAGE_LANES, build
from ppi_robotics.noise import Noise
from ppi_robotics.problem import Problem
from ppi_robotics.recursion import NO_GROWTH, LocalModel
from ppi_robotics.symbolic.costs import BoundCost, Quadratic
from ppi_robotics.symbolic.plant import SymbolicPlant


def taylor(
    problem: Problem, x: np.ndarray, u: np.ndarray, adjoint: np.ndarray | None = None, growth: bool = True
) -> LocalModel:
    """Expand a problem about states x (T + 1, nx) and controls u (T, nu), which need not fit the dynamics.

    Args:
      problem: `Problem`.
      x, u: reference trajectory.
      adjoint: multipliers y (T, nx) of the dynamics; with them the second derivatives of y'f join the cost's Hessian,
        which makes the sweep a Newton step (differential dynamic programming) instead of a Gauss-Newton step.
      growth: whether noise that grows with state or control is part of the model.

    Returns:
      `LocalModel` in deviations from (x, u).
    """
    plant, cost = problem.plant, problem.cost
    if adjoint is None:
        (xn, A, B), (c0, cx, cu, Cxx, Cux, Cuu) = cost.expand(plant, x, u)
    else:
        nx = plant.nx
        c0, cx, cu, Cxx, Cux, Cuu = cost.quadratize(x, u)
        xn, A, B, H = plant.expand(x[:-1], u, adjoint)
        Cxx[:-1] += H[:, :nx, :nx]
        Cux += H[:, nx:, :nx]
        Cuu += H[:, nx:, nx:]
    noise = plant.noise
    G, E = noise.local(x[:-1], u, B) if noise.growing and growth else (noise_factors(noise, len(u)), NO_GROWTH)
    return LocalModel(A, B, plant.difference(xn, x[1:]), G, Cxx, Cux, Cuu, cx, cu, c0, E)


def noise_factors(noise: Noise, T: int) -> np.ndarray:
    """The factor of the process noise, repeated for T stages."""
    return _repeat(noise.factor.tobytes(), noise.factor.shape, T)


@functools.lru_cache(maxsize=64)
def _repeat(data, shape, T):
    return np.ascontiguousarray(np.tile(np.frombuffer(data).reshape(shape), (T, 1, 1)))


def statistical(
    problem: Problem, x: np.ndarray, u: np.ndarray, S: tuple[np.ndarray, np.ndarray], points: "SigmaPoints"
) -> LocalModel:
    """Expand a problem about a belief z_t ~ N((x_t, u_t), S_t): sigma points instead of derivatives.

    x' = A dx + B du + d + w: A and B are the regression of the next state on z, x_ref + d its mean, and the variance
    that the regression leaves joins the process noise. The cost's model has its mean gradient and Hessian, and its mean
    value: E C = c0 + tr(C S) / 2. Directions without variance get Taylor's derivatives. So S = 0, or affine dynamics
    with a quadratic cost, give `linearize.taylor`.

    Args:
      problem: `Problem` of a `SymbolicPlant`.
      x, u: means (T + 1, nx) and (T, nu), which need not fit the dynamics.
      S: covariances (T, nx + nu, nx + nu) of (x_t, u_t), and (nx, nx) of the last state; may be singular.
      points: `SigmaPoints`.

    Returns:
      `LocalModel` in deviations from (x, u), with nx noises. Negative weights of unscented points can make the
      covariance of the noise indefinite; its negative part is then dropped.

    Raises:
      ProblemError: if the plant is not symbolic, a shape does not fit, or a covariance is indefinite.
    """
    plant, cost = problem.plant, problem.cost
    if not isinstance(plant, SymbolicPlant) or not isinstance(cost, BoundCost):
        raise ProblemError(
            f"plant {plant.name} and cost {type(cost).__name__} have no expressions to compile with sigma points; "
            "expected a SymbolicPlant and a cost of this package, or use the Taylor expansion"
        )
    if not isinstance(points, SigmaPoints):
        raise ProblemError(f"points is {shown(points)}; expected SigmaPoints('cubature') or another rule")
    nx, nu, T = plant.nx, plant.nu, len(u)
    x, u, S, S_end = (writable(part) for part in (x, u, *S))
    if x.shape != (T + 1, nx) or u.shape != (T, nu) or S.shape != (T, nx + nu, nx + nu) or S_end.shape != (nx, nx):
        raise ProblemError(
            f"states {x.shape}, controls {u.shape}, their covariances {S.shape} and the last state's {S_end.shape}; "
            f"expected {(T + 1, nx)}, {(T, nu)}, {(T, nx + nu, nx + nu)} and {(nx, nx)}"
        )
    S, U_end, rule, end_rule = S.reshape(T, -1), S_end.copy(), points.points(nx + nu), points.points(nx)
    d, A, B, G = np.empty((T, nx)), np.empty((T, nx, nx)), np.empty((T, nx, nu)), np.empty((T, nx, nx))
    scratch, model, noise = np.empty((len(rule[0]), nx, STAGE_LANES)), plant.model, plant.noise
    constants = noise.process, model.constants, model.dt
    indefinite = dynamics_kernels(plant).linearize(x, u, S, rule, *constants, scratch, d, A, B, G)
    if semidefinite_roots(U_end.reshape(-1, 1), nx, 1) >= 0 > indefinite:
        indefinite = T
    if indefinite >= 0:
        raise ProblemError(
            f"the covariance of stage {indefinite} is indefinite; "
            "expected positive semidefinite covariances of states and controls"
        )
    c0, cx, cu, Cxx, Cux, Cuu = mean_cost(cost, x, u, (S, S_end, U_end, STAGE_LANES), (rule[:2], end_rule[:2]))
    if not noise.growing:
        return LocalModel(A, B, d, G, Cxx, Cux, Cuu, cx, cu, c0)
    columns, E = noise.local(x[:-1], u, B)
    G = np.concatenate((G, columns[:, :, -noise.growing :]), axis=2)
    return LocalModel(A, B, d, G, Cxx, Cux, Cuu, cx, cu, c0, E)


def mean_cost(cost, x, u, belief, rules):
    """What `BoundCost.quadratize` returns, of means over a belief; for a quadratic cost they are the same."""
    if isinstance(cost.given, Quadratic):
        return cost.quadratize(x, u)
    T, nx, nu = len(u), cost.nx, cost.nu
    c0, cx, cu = np.empty(T + 1), np.empty((T + 1, nx)), np.empty((T, nu))
    Cxx, Cux, Cuu = np.empty((T + 1, nx, nx)), np.empty((T, nu, nx)), np.empty((T, nu, nu))
    constants = cost.stage_constants, cost.terminal_constants
    cost_kernels(cost).quadratize(x, u, *belief, *rules, *constants, c0, cx, cu, Cxx, Cux, Cuu)
    if cost.project:
        project(Cxx, Cux, Cuu)
    return c0, cx, cu, Cxx, Cux, Cuu


@functools.lru_cache(maxsize=64)
def dynamics_kernels(plant):
    """Compiled statistical linearization of a plant."""
    model, templates = plant.model, ("integrate", "sigma", "sigma_dynamics")
    return build(f"sigma points of {model.label}", STAGE_LANES, model.sizes, model.functions[:2], templates)


@functools.lru_cache(maxsize=64)
def cost_kernels(cost):
    """Compiled means of a cost."""
    sizes = {"NX": cost.nx, "NU": cost.nu, "NZ": cost.nx + cost.nu}
    return build("sigma points of a cost", STAGE_LANES, sizes, cost.functions[2:], ("sigma", "sigma_cost"))


OPTIONS = {"cubature": (), "unscented": ("alpha", "beta", "kappa"), "gauss_hermite": ("order",)}
LARGEST_SPACE = 10_000  # entries of a normal vector
LARGEST_GRID, LARGEST_ORDER = 4096, 100  # numpy's nodes are tested up to 100


@dataclass(frozen=True, slots=True)
class SigmaPoints:
    """A rule for expectations under Gaussians.

    Attributes:
      rule: cubature (exact for polynomials of degree 3, 2n points), unscented (degree 3, 2n + 1 points) or
        gauss_hermite (degree 2 order - 1 in every axis, order^n points).
      order: points per axis of gauss_hermite, at least 2: one point has no variance.
      alpha, beta, kappa: of unscented; the defaults make all weights positive and equal for mean and covariance.

    Raises:
      ProblemError: if the rule is unknown, or an option is out of range or belongs to another rule.
    """

    rule: str = "cubature"
    order: int = 3
    alpha: float = 1.0
    beta: float = 0.0
    kappa: float = 1.0

    def __post_init__(self):
        check_choice(self.rule, "rule", OPTIONS)
        object.__setattr__(self, "order", check_count(self.order, "order", 2, LARGEST_ORDER))
        for name in ("alpha", "beta", "kappa"):
            object.__setattr__(self, name, check_number(getattr(self, name), name))
        if not self.alpha > 0:
            raise ProblemError(f"alpha is {self.alpha:g}; expected a positive distance of the unscented points")
        for field in fields(self)[1:]:
            if field.name not in OPTIONS[self.rule] and getattr(self, field.name) != field.default:
                owner = next(rule for rule, names in OPTIONS.items() if field.name in names)
                raise ProblemError(f"{field.name} is given for the rule {self.rule}; it belongs to {owner}")

    def points(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points xi (m, n) for a standard normal of n entries, weights (m,) of means and (m,) of covariances.

        Raises:
          ProblemError: if n is no whole number of at least 1, a grid would have more than 4096 points, or the
            unscented scale n + l is not positive.
        """
        return _points(self, check_count(n, "n", 1, LARGEST_SPACE))


@functools.lru_cache(maxsize=64)
def _points(rule, n):
    if rule.rule == "gauss_hermite":
        xi, mean = _grid(rule.order, n)
        return frozen(xi), frozen(mean), frozen(mean)
    axes = np.vstack([np.eye(n), -np.eye(n)])
    if rule.rule == "cubature":
        weights = np.full(2 * n, 0.5 / n)
        return frozen(np.sqrt(n) * axes), frozen(weights), frozen(weights)
    scale = rule.alpha**2 * (n + rule.kappa)
    if not 0 < scale < np.inf:
        raise ProblemError(
            f"alpha^2 (n + kappa) is {scale:g} for n = {n}, alpha = {rule.alpha:g}, kappa = {rule.kappa:g}; "
            "expected a positive number, so choose kappa above -n"
        )
    mean = np.r_[(scale - n) / scale, np.full(2 * n, 0.5 / scale)]
    cov = mean.copy()
    cov[0] += 1 - rule.alpha**2 + rule.beta
    return frozen(np.vstack([np.zeros(n), np.sqrt(scale) * axes])), frozen(mean), frozen(cov)


def _grid(q, n):
    if q**n > LARGEST_GRID:
        raise ProblemError(
            f"gauss_hermite of order {q} has {q}^{n} points for {n} entries, more than {LARGEST_GRID}; "
            "lower the order or choose cubature"
        )
    nodes, weights = np.polynomial.hermite_e.hermegauss(q)
    weights = weights / weights.sum()
    xi = np.stack(np.meshgrid(*[nodes] * n, indexing="ij"), axis=-1).reshape(-1, n)
    return xi, functools.reduce(np.multiply.outer, [weights] * n).ravel()
