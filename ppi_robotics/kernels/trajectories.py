"""Along trajectories of any size: logarithmic barriers, optimality residuals, costates, moves.

phi = J - mu sum log(v - low) - mu sum log(high - v)         multipliers z = mu / slack on the central path
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.compiler import OPTIONS
from ppi_robotics.kernels.tiles import new_vector

SIDE = 8  # maxima kept side by side, so that they do not wait for each other


@njit(**OPTIONS)
def add_barrier(v, limits, lower, upper, mu, H, g):
    """Add the barrier's curvature to the diagonals H (N, m, m) and its gradient to g (N, m) at v (N, m)."""
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                slack = v[t, i] - limits[i, 0]
                H[t, i, i] += lower[t, i] / slack
                g[t, i] -= mu / slack
            if limits[i, 1] < np.inf:
                slack = limits[i, 1] - v[t, i]
                H[t, i, i] += upper[t, i] / slack
                g[t, i] += mu / slack


@njit(**OPTIONS)
def multiplier_step(v, dv, limits, lower, upper, mu, d_lower, d_upper):
    """Newton steps of the multipliers (N, m) into d_lower, d_upper.

    Returns:
      for primal and dual the largest step length up to 1 that goes max(0.99, 1 - mu) of the way to the boundary.
    """
    free = max(0.99, 1.0 - mu)
    primal, dual = 1.0, 1.0
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                slack, d = v[t, i] - limits[i, 0], dv[t, i]
                d_lower[t, i] = mu / slack - lower[t, i] - lower[t, i] / slack * d
                if d < 0.0:
                    primal = min(primal, -free * slack / d)
                if d_lower[t, i] < 0.0:
                    dual = min(dual, -free * lower[t, i] / d_lower[t, i])
            if limits[i, 1] < np.inf:
                slack, d = limits[i, 1] - v[t, i], -dv[t, i]
                d_upper[t, i] = mu / slack - upper[t, i] - upper[t, i] / slack * d
                if d < 0.0:
                    primal = min(primal, -free * slack / d)
                if d_upper[t, i] < 0.0:
                    dual = min(dual, -free * upper[t, i] / d_upper[t, i])
    return primal, dual


@njit(**OPTIONS)
def move_multipliers(v, limits, lower, upper, d_lower, d_upper, step, mu):
    """Take the multipliers' step in place, kept within 1e10 of the central path at the new v."""
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                center = mu / (v[t, i] - limits[i, 0])
                lower[t, i] = min(max(lower[t, i] + step * d_lower[t, i], center * 1e-10), center * 1e10)
            if limits[i, 1] < np.inf:
                center = mu / (limits[i, 1] - v[t, i])
                upper[t, i] = min(max(upper[t, i] + step * d_upper[t, i], center * 1e-10), center * 1e10)


@njit(**OPTIONS)
def log_slacks(v, limits):
    """Sum of the logarithms of all slacks; -inf outside."""
    total = 0.0
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                slack = v[t, i] - limits[i, 0]
                if not slack > 0.0:
                    return -np.inf
                total += np.log(slack)
            if limits[i, 1] < np.inf:
                slack = limits[i, 1] - v[t, i]
                if not slack > 0.0:
                    return -np.inf
                total += np.log(slack)
    return total


@njit(**OPTIONS)
def push_inside(v, limits):
    """Move v (N, m) strictly inside limits (m, 2), in place: by 1 % of the range or of the limit's size."""
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            low, high = limits[i, 0], limits[i, 1]
            width = high - low
            if low > -np.inf:
                v[t, i] = max(v[t, i], low + min(0.01 * max(1.0, abs(low)), 0.01 * width))
            if high < np.inf:
                v[t, i] = min(v[t, i], high - min(0.01 * max(1.0, abs(high)), 0.01 * width))


@njit(**OPTIONS)
def complementarity(v, limits, lower, upper, mu):
    """Largest |slack z - mu| and sum of the multipliers."""
    worst, total = 0.0, 0.0
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                worst = max(worst, abs((v[t, i] - limits[i, 0]) * lower[t, i] - mu))
                total += lower[t, i]
            if limits[i, 1] < np.inf:
                worst = max(worst, abs((limits[i, 1] - v[t, i]) * upper[t, i] - mu))
                total += upper[t, i]
    return worst, total


@njit(**OPTIONS)
def stationarity(A, B, G, cx, cu, w, y, zx, zu, lS):
    """Largest gradient of the Lagrangian in x, u and w; zx, zu (T + 1, nx), (T, nu): upper minus lower multipliers."""
    T, nx = A.shape[0], A.shape[1]
    worst = 0.0
    for t in range(T):
        for i in range(B.shape[2]):
            s = cu[t, i] + zu[t, i]
            for r in range(nx):
                s += B[t, r, i] * y[t, r]
            worst = max(worst, abs(s))
        if t > 0:
            for i in range(nx):
                s = cx[t, i] + zx[t, i] - y[t - 1, i]
                for r in range(nx):
                    s += A[t, r, i] * y[t, r]
                worst = max(worst, abs(s))
        if lS != 0.0:
            for i in range(G.shape[2]):
                s = w[t, i] / lS
                for r in range(nx):
                    s += G[t, r, i] * y[t, r]
                worst = max(worst, abs(s))
    for i in range(nx):
        worst = max(worst, abs(cx[T, i] + zx[T, i] - y[T - 1, i]))
    return worst


@njit(**OPTIONS)
def costates(A, cx, y):
    """Gradients y (T, nx) of the cost-to-go with respect to the next state, on a rollout."""
    T, nx = A.shape[0], A.shape[1]
    for i in range(nx):
        y[T - 1, i] = cx[T, i]
    for t in range(T - 1, 0, -1):
        for i in range(nx):
            s = cx[t, i]
            for r in range(nx):
                s += A[t, r, i] * y[t, r]
            y[t - 1, i] = s


@njit(**OPTIONS)
def moved(v, dv, step, after):
    """after = v + step dv; returns the largest |step dv| and the largest |after|, not a number if an entry is."""
    v, dv, after = v.reshape(-1), dv.reshape(-1), after.reshape(-1)
    change, size, sound = new_vector(SIDE), new_vector(SIDE), new_vector(SIDE)
    for i in range(SIDE):
        change[i] = size[i] = sound[i] = 0.0
    for first in range(0, len(v), SIDE):
        for i in range(min(SIDE, len(v) - first)):
            d = step * dv[first + i]
            w = v[first + i] + d
            after[first + i] = w
            change[i] = max(change[i], abs(d))
            size[i] = max(size[i], abs(w))
            sound[i] += 0.0 * w
    return change.max() + sound.sum(), size.max() + sound.sum()


@njit(**OPTIONS)
def largest(d):
    """Largest |d|."""
    d, size = d.reshape(-1), new_vector(SIDE)
    for i in range(SIDE):
        size[i] = 0.0
    for first in range(0, len(d), SIDE):
        for i in range(min(SIDE, len(d) - first)):
            size[i] = max(size[i], abs(d[first + i]))
    return size.max()
