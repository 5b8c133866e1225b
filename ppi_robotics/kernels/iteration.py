"""Template: an iteration in one call: expand about a path, sweep backward, take the step.

What stands between the path before and the path after is never seen outside, so that no arrays are handed over. The
functions that it is made of come from the modules of the plant, the cost, the recursion and the line search.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.cost import quadratize
from ppi_robotics.kernels.dynamics import linearize
from ppi_robotics.kernels.generated import NU, NX
from ppi_robotics.kernels.shooting import search
from ppi_robotics.kernels.step import backward_minimum, whole_step
from ppi_robotics.kernels.sweep import DONE
from ppi_robotics.kernels.trajectories import farthest


@njit
def expand(x, u, G, dt, c, cs, ct):
    """Arrays of the local model about x (T + 1, NX), u (T, NU), see `recursion.LocalModel`."""
    T = u.shape[0]
    A, B, d, E = np.empty((T, NX, NX)), np.empty((T, NX, NU)), np.empty((T, NX)), np.empty((0, 0, 0, 0))
    Cxx, Cux, Cuu = np.empty((T + 1, NX, NX)), np.empty((T, NU, NX)), np.empty((T, NU, NU))
    cx, cu, c0 = np.empty((T + 1, NX)), np.empty((T, NU)), np.empty(T + 1)
    linearize(x[:T], u, c, dt, d, A, B)
    for t in range(T):
        for i in range(NX):
            d[t, i] -= x[t + 1, i]
    quadratize(x, u, cs, ct, c0, cx, cu, Cxx, Cux, Cuu)
    return A, B, d, G, E, Cxx, Cux, Cuu, cx, cu, c0


@njit
def full_step(x, u, w, lS, scales, G, constants, x_out, u_out, w_out):
    """Expansion and the whole step of multiple shooting; returns what `whole_step` does."""
    model = expand(x, u, G, *constants)
    return whole_step(model, x, u, w, lS, scales, x_out, u_out, w_out, np.empty((0, 0, 0)), np.empty((0, 0)))


@njit
def damped_step(x, u, merit, damping, weights, steps, ratio, scales, x0, G, limits, constants, x_out, u_out):
    """Single shooting: the control Hessian is damped by multiples of (NU,) weights; a search leads to x_out, u_out.

    Returns:
      how the backward pass ended, index of the accepted step length or -1, its merit, the predicted slope, and the
      largest change of a state or control, in `scales` (NX,) and (NU,).
    """
    model = expand(x, u, G, *constants)
    how, slope, curvature, _, _, K, k = backward_minimum(model, 0.0, damping * weights)
    if how != DONE:
        return how, -1, merit, slope, 0.0
    none = np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0, NX)), np.empty((0, NX, 0))
    path = (x0, x, u, K, k, none[0], none[1], none[2], none[3], np.empty((0, 0, 0)), 0.0)
    dt, c, cs, ct = constants
    n, found = search(steps, merit, slope, curvature, ratio, path, (limits, dt, c, cs, ct), x_out, u_out, none[0])
    return how, n, found, slope, max(farthest(x, x_out, scales[0]), farthest(u, u_out, scales[1])) if n >= 0 else 0.0
