"""Local models about a trajectory: exact derivatives of the dynamics, quadratic models of the cost."""

import functools

import numpy as np

from ppi_robotics.messages import NO_GROWTH, LocalModel


def taylor(problem, x, u, adjoint=None, growth=True):
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


def noise_factors(noise, T):
    """The factor of the process noise, repeated for T stages."""
    return _repeat(noise.factor.tobytes(), noise.factor.shape, T)


@functools.lru_cache(maxsize=64)
def _repeat(data, shape, T):
    return np.ascontiguousarray(np.tile(np.frombuffer(data).reshape(shape), (T, 1, 1)))
