"""Along trajectories of any size: logarithmic barriers, optimality residuals, costates, moves.

phi = J - mu sum log(v - low) - mu sum log(high - v)         multipliers z = mu / slack on the central path

What is small or large is so over the scale (m,) of a coordinate, the unit that its numbers are free of.
"""

import numpy as np

from ppi_robotics.kernels.jit import INLINED, njit

LEAST = 1e-3  # of a scale: what has stayed smaller along a path is measured by this


@njit(**INLINED)
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


@njit(**INLINED)
def multiplier_step(v, dv, limits, lower, upper, mu, free, d_lower, d_upper):
    """Newton steps of the multipliers (N, m) into d_lower, d_upper.

    Returns:
      for primal and dual the largest step length up to 1 that goes the share `free` of the way to the boundary.
    """
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


@njit(**INLINED)
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


@njit(**INLINED)
def log_slacks(v, limits, scale):
    """Sum of the logarithms of all slacks over their scales; -inf outside."""
    total = 0.0
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                slack = v[t, i] - limits[i, 0]
                if not slack > 0.0:
                    return -np.inf
                total += np.log(slack / scale[i])
            if limits[i, 1] < np.inf:
                slack = limits[i, 1] - v[t, i]
                if not slack > 0.0:
                    return -np.inf
                total += np.log(slack / scale[i])
    return total


@njit(**INLINED)
def push_inside(v, limits, scale):
    """Move v (N, m) strictly inside limits (m, 2), in place: by 1 % of the range or of the limit's or scale's size."""
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            low, high = limits[i, 0], limits[i, 1]
            width = high - low
            if low > -np.inf:
                v[t, i] = max(v[t, i], low + min(0.01 * max(scale[i], abs(low)), 0.01 * width))
            if high < np.inf:
                v[t, i] = min(v[t, i], high - min(0.01 * max(scale[i], abs(high)), 0.01 * width))


@njit(**INLINED)
def complementarity(v, limits, lower, upper, mu, scale):
    """Largest |slack z - mu| and sum of the multipliers times their scales."""
    worst, total = 0.0, 0.0
    for t in range(v.shape[0]):
        for i in range(v.shape[1]):
            if limits[i, 0] > -np.inf:
                worst = max(worst, abs((v[t, i] - limits[i, 0]) * lower[t, i] - mu))
                total += lower[t, i] * scale[i]
            if limits[i, 1] < np.inf:
                worst = max(worst, abs((limits[i, 1] - v[t, i]) * upper[t, i] - mu))
                total += upper[t, i] * scale[i]
    return worst, total


@njit(**INLINED)
def stationarity(A, B, G, cx, cu, w, y, zx, zu, lS, scale_x, scale_u):
    """Largest gradient of the Lagrangian in x, u and w times their scales.

    zx, zu (T + 1, nx), (T, nu): upper minus lower multipliers.
    """
    T, nx = A.shape[0], A.shape[1]
    worst = 0.0
    for t in range(T):
        for i in range(B.shape[2]):
            s = cu[t, i] + zu[t, i]
            for r in range(nx):
                s += B[t, r, i] * y[t, r]
            worst = max(worst, abs(s) * scale_u[i])
        if t > 0:
            for i in range(nx):
                s = cx[t, i] + zx[t, i] - y[t - 1, i]
                for r in range(nx):
                    s += A[t, r, i] * y[t, r]
                worst = max(worst, abs(s) * scale_x[i])
        if lS != 0.0:
            for i in range(G.shape[2]):
                s = w[t, i] / lS
                for r in range(nx):
                    s += G[t, r, i] * y[t, r]
                worst = max(worst, abs(s))
    for i in range(nx):
        worst = max(worst, abs(cx[T, i] + zx[T, i] - y[T - 1, i]) * scale_x[i])
    return worst


@njit(**INLINED)
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


@njit(**INLINED)
def moved(v, dv, step, after, scale):
    """after = v + step dv, (N, m).

    Returns:
      largest change, over the size that its coordinate has on the path after it, and largest size over its scale; not a
      number if an entry is.
    """
    n = v.shape[1]
    change, size, sound = np.zeros(n), np.zeros(n), np.zeros(n)
    for t in range(v.shape[0]):
        for i in range(n):
            d = step * dv[t, i]
            w = v[t, i] + d
            after[t, i] = w
            change[i] = max(change[i], abs(d))
            size[i] = max(size[i], abs(w))
            sound[i] += 0.0 * w
    return over_sizes(change, size, scale) + sound.sum(), largest(size.reshape(1, n), scale) + sound.sum()


@njit(**INLINED)
def farthest(v, w, scale):
    """Largest |v - w|, (N, m), over the size that its coordinate has along w."""
    n = v.shape[1]
    change, size = np.zeros(n), np.zeros(n)
    for t in range(v.shape[0]):
        for i in range(n):
            change[i] = max(change[i], abs(v[t, i] - w[t, i]))
            size[i] = max(size[i], abs(w[t, i]))
    return over_sizes(change, size, scale)


@njit(**INLINED)
def over_sizes(change, size, scale):
    """Largest change over its size, or over a thousandth of its scale where that is larger; all (m,)."""
    worst = 0.0
    for i in range(len(change)):
        if change[i] > 0.0:
            worst = max(worst, change[i] / max(size[i], LEAST * scale[i]))
    return worst


@njit(**INLINED)
def largest(d, scale):
    """Largest |d|, (N, m), over its scale; coordinates without a scale do not count."""
    worst = 0.0
    for i in range(d.shape[1]):
        size = 0.0
        for t in range(d.shape[0]):
            size = max(size, abs(d[t, i]))
        if scale[i] > 0.0:
            worst = max(worst, size / scale[i])
    return worst
