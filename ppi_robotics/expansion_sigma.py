"""Local models by statistical linearization: means over a belief in place of derivatives at a point."""

import functools

import numpy as np

from ppi_robotics.costs import BoundCost, _project
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels.compiler import STAGE_LANES, build
from ppi_robotics.messages import LocalModel
from ppi_robotics.symbolic import SymbolicPlant


def statistical(problem, x, u, S, points):
    """Expand a problem about a belief z_t ~ N((x_t, u_t), S_t): sigma points instead of derivatives.

    x' = A dx + B du + d + w: A and B are the regression of the next state on z, x_ref + d its mean, and the variance
    that the regression leaves joins the process noise. Value, gradient and Hessian of the cost are their means.
    Directions without variance get Taylor's derivatives, so S = 0 gives `expansion.taylor`.

    Args:
      problem: `Problem` of a `SymbolicPlant`.
      x, u: means (T + 1, nx) and (T, nu), which need not fit the dynamics.
      S: covariances (T, nx + nu, nx + nu) of (x_t, u_t), and (nx, nx) of the last state; may be singular.
      points: `SigmaPoints`.

    Returns:
      `LocalModel` in deviations from (x, u), with nx noises.

    Raises:
      ProblemError: if the plant is not symbolic, a shape does not fit, or a covariance is indefinite.
    """
    plant, cost = problem.plant, problem.cost
    if not isinstance(plant, SymbolicPlant) or not isinstance(cost, BoundCost):
        raise ProblemError(
            f"plant {plant.name} and cost {type(cost).__name__} have no expressions to compile with sigma points; "
            "expected a SymbolicPlant and a cost of this package, or use the Taylor expansion"
        )
    (T, nu), nx = u.shape, plant.nx
    joint, last = (np.ascontiguousarray(part, dtype=float) for part in S)
    if joint.shape != (T, nx + nu, nx + nu) or last.shape != (nx, nx):
        raise ProblemError(
            f"covariances have shapes {joint.shape} and {last.shape}; "
            f"expected {(T, nx + nu, nx + nu)} of states and controls and {(nx, nx)} of the last state"
        )
    rule, end_rule = points.points(nx + nu), points.points(nx)
    y, A, B, G = np.empty((T, nx)), np.empty((T, nx, nx)), np.empty((T, nx, nu)), np.empty((T, nx, nx))
    c0, cx, cu = np.empty(T + 1), np.empty((T + 1, nx)), np.empty((T, nu))
    Cxx, Cux, Cuu = np.empty((T + 1, nx, nx)), np.empty((T, nu, nx)), np.empty((T, nu, nu))
    G[:] = plant.noise.process
    scratch, kernels, model = np.empty((len(rule[0]), nx, STAGE_LANES)), sigma_kernels(plant, cost), plant.model
    stage = kernels.linearize(
        x,
        u,
        joint.reshape(T, -1),
        rule,
        model.constants,
        model.dt,
        cost.stage_constants,
        scratch,
        y,
        A,
        B,
        G.reshape(T, -1),
        c0,
        cx,
        cu,
        Cxx,
        Cux,
        Cuu,
    )
    fine = kernels.finish(x[T], last.reshape(1, -1), end_rule, cost.terminal_constants, c0[T:], cx[T], Cxx[T:])
    if stage >= 0 or not fine:
        raise ProblemError(
            f"the covariance of stage {stage if stage >= 0 else T} is indefinite; "
            "expected positive semidefinite covariances of states and controls"
        )
    if cost.project:
        _project(Cxx, Cux, Cuu)
    return LocalModel(A, B, y - x[1:], G, Cxx, Cux, Cuu, cx, cu, c0)


@functools.lru_cache(maxsize=64)
def sigma_kernels(plant, cost):
    """Compiled statistical linearization of a plant under a cost."""
    functions = (*plant.model.functions[:2], *cost.functions[2:])
    return build(f"sigma points of {plant.name}", STAGE_LANES, plant.model.sizes, functions, ("integrate", "sigma"))
