"""Template: an iteration in one call: expand about a path, sweep backward, take the step.

What stands between the path before and the path after is never seen outside, so that no arrays are handed over. The
functions that it is made of come from the modules of the plant, the cost, the sweeps and the line search.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.cost import quadratize
from ppi_robotics.kernels.dynamics import linearize
from ppi_robotics.kernels.generated import NU, NW, NX
from ppi_robotics.kernels.shooting import search
from ppi_robotics.kernels.sweep import DONE, backward, forward
from ppi_robotics.kernels.trajectories import largest, moved


@njit
def expand(x, u, G, dt, c, cs, ct):
    """Arrays of the local model about x (T + 1, NX), u (T, NU), see `messages.LocalModel`."""
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
def sweep_back(model, lS, damping):
    """The backward sweep with the hard minimum: how it ended, slope, curvature, P~, p~, K and k."""
    T = model[0].shape[0]
    P, p, p0 = np.empty((T + 1, NX, NX)), np.empty((T + 1, NX)), np.empty(0)
    K, k, H = np.empty((T, NU, NX)), np.empty((T, NU)), np.empty((T, NU, NU))
    P_ahead, p_ahead = P[1:], p[1:]
    if lS != 0.0:
        P_ahead, p_ahead = np.empty((T, NX, NX)), np.empty((T, NX))
    flat = np.empty((0, NU, NX)), np.empty((0, NU)), np.empty((0, NU, NU)), np.empty(0)
    no_box, no_growth = np.empty((0, NU, 2)), np.empty((0, 0, 0))
    how, _, slope, curvature = backward(
        model, lS, 0.0, flat, (0.0, damping), no_box, (P, p, p0), (P_ahead, p_ahead), (K, k, H), no_growth
    )
    return how, slope, curvature, P_ahead, p_ahead, K, k


@njit
def full_step(x, u, w, lS, G, constants, x_out, u_out, w_out):
    """Multiple shooting with the whole step from x, u and disturbances w (T, NW) into x_out, u_out and w_out.

    Returns:
      how the backward sweep ended, objective and largest defect of the path before, largest changes of x and u, and
      largest entries of x and u after them.
    """
    T = u.shape[0]
    model = expand(x, u, G, *constants)
    how, _, _, P_ahead, p_ahead, K, k = sweep_back(model, lS, 0.0)
    if how != DONE:
        return how, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    dx, du, y = np.empty((T + 1, NX)), np.empty((T, NU)), np.empty((T, NX))
    dx[0] = 0.0
    forward(model, lS, P_ahead, p_ahead, K, k, dx, du, w_out, y)
    dx_size, x_size = moved(x, dx, 1.0, x_out)
    du_size, u_size = moved(u, du, 1.0, u_out)
    cost = model[10].sum()
    if lS != 0.0:
        for t in range(T):
            for i in range(NW):
                cost += w[t, i] * w[t, i] / (2.0 * lS)
    return how, cost, largest(model[2]), dx_size, du_size, x_size, u_size


@njit
def damped_step(x, u, merit, damping, steps, ratio, x0, G, limits, constants, x_out, u_out):
    """Single shooting: the sweep is damped, and a line search leads to x_out, u_out.

    Returns:
      how the backward sweep ended, index of the accepted step length or -1, its merit, the predicted slope, and the
      largest change of a state or control.
    """
    model = expand(x, u, G, *constants)
    how, slope, curvature, _, _, K, k = sweep_back(model, 0.0, damping)
    if how != DONE:
        return how, -1, merit, slope, 0.0
    calm = np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0, NX)), np.empty((0, NX, 0))
    path = (x0, x, u, K, k, calm[0], calm[1], calm[2], calm[3], np.empty((0, 0, 0)), 0.0)
    dt, c, cs, ct = constants
    n, found = search(steps, merit, slope, curvature, ratio, path, (limits, dt, c, cs, ct), x_out, u_out, calm[0])
    return how, n, found, slope, max(farthest(x, x_out), farthest(u, u_out)) if n >= 0 else 0.0


@njit
def farthest(v, w):
    """Largest |v - w|."""
    size = 0.0
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            size = max(size, abs(v[t, i] - w[t, i]))
    return size
