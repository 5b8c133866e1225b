"""Local models by statistical linearization: means over a belief in place of derivatives at a point."""

import functools

import numpy as np

from ppi_robotics.checks import shown
from ppi_robotics.costs import BoundCost, Quadratic, project
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import writable
from ppi_robotics.kernels.algebra import semidefinite_roots
from ppi_robotics.kernels.compiler import STAGE_LANES, build
from ppi_robotics.messages import LocalModel
from ppi_robotics.sigma_points import SigmaPoints
from ppi_robotics.symbolic import SymbolicPlant


def statistical(problem, x, u, S, points):
    """Expand a problem about a belief z_t ~ N((x_t, u_t), S_t): sigma points instead of derivatives.

    x' = A dx + B du + d + w: A and B are the regression of the next state on z, x_ref + d its mean, and the variance
    that the regression leaves joins the process noise. The cost's model has its mean gradient and Hessian, and its mean
    value: E C = c0 + tr(C S) / 2. Directions without variance get Taylor's derivatives. So S = 0, or affine dynamics
    with a quadratic cost, give `expansion.taylor`.

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
