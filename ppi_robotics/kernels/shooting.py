"""Template: line search along noise-free closed-loop rollouts (single shooting).

    u_t = clip(u_ref_t + a k_t + K_t (x_t - x_ref_t)),   x_{t+1} = f(x_t, u_t) + G_t w_t
    w_t = w_ref_t + a h_t + D_t (x_t - x_ref_t)          merit = sum C_t + z_t'N_t z_t / 2 + price |w_t|^2 / 2, and C_T

w is the disturbance that the most likely path of a noisy model takes; N prices noise that grows with z = (x, u). Both
are left out where their arrays have length 0.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.feedback import clip, control
from ppi_robotics.kernels.generated import LANES, NU, NX, NZ, inlined, stage_value, terminal_value
from ppi_robotics.kernels.integrate import advance
from ppi_robotics.kernels.tiles import matrix, new_matrix, new_vector, vector


@njit
def shoot(a, path, limits, dt, c, cs, ct, xs_out, us_out, ws_out):
    """Merit of the rollout with step length a; fills xs_out (T + 1, NX), us_out (T, NU) and ws_out (T, NW)."""
    x0, x_ref, u_ref, K, k, w_ref, h, D, G, N, price = path
    T, disturbed, growing = u_ref.shape[0], D.shape[0] > 0, N.shape[0] > 0
    x, xn, dx, xs = new_matrix(NX, LANES), new_matrix(NX, LANES), new_matrix(NX, LANES), new_matrix(NX, LANES)
    slope, u, v = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(1, LANES)
    merit = 0.0
    for i in range(NX):
        x[i, 0] = x0[i]
        xs_out[0, i] = x0[i]
    for t in range(T):
        control(x, vector(x_ref, t, NX), vector(u_ref, t, NU), matrix(K, t, NU, NX), dx, u)
        for i in range(NU):
            u[i, 0] += a * k[t, i]
        clip(u, limits)
        for i in range(NU):
            us_out[t, i] = u[i, 0]
        stage_value(x, u, cs, v)
        merit += v[0, 0]
        if growing:
            merit += 0.5 * quadratic_form(matrix(N, t, NZ, NZ), x, u)
        advance(x, u, c, dt, xs, slope, xn)
        if disturbed:
            for m in range(w_ref.shape[1]):
                w = w_ref[t, m] + a * h[t, m]
                for j in range(NX):
                    w += D[t, m, j] * dx[j, 0]
                for i in range(NX):
                    xn[i, 0] += G[t, i, m] * w
                ws_out[t, m] = w
                merit += 0.5 * price * w * w
        for i in range(NX):
            x[i, 0] = xn[i, 0]
            xs_out[t + 1, i] = xn[i, 0]
        if not np.isfinite(merit):
            xs_out[t + 1 :] = np.nan
            us_out[t + 1 :] = np.nan
            return np.inf
    terminal_value(x, ct, v)
    return merit + v[0, 0]


@inlined
def quadratic_form(N, x, u):
    """z'Nz of the only lane."""
    z, total = new_vector(NZ), 0.0
    for i in range(NX):
        z[i] = x[i, 0]
    for i in range(NU):
        z[NX + i] = u[i, 0]
    for i in range(NZ):
        for j in range(NZ):
            total += z[i] * N[i, j] * z[j]
    return total


@njit
def search(steps, merit, slope, curvature, ratio, path, constants, xs_out, us_out, ws_out):
    """First step length a whose merit falls by `ratio` of the prediction a slope + a^2 curvature / 2.

    Returns its index, or -1 if there is none, and its merit.

    Args:
      path: x0, x_ref, u_ref, K, k, w_ref, h, D, G, N and price.
      constants: limits, dt, and the numbers of the generated functions.
    """
    limits, dt, c, cs, ct = constants
    for n in range(steps.shape[0]):
        a = steps[n]
        trial = shoot(a, path, limits, dt, c, cs, ct, xs_out, us_out, ws_out)
        if trial <= merit + ratio * (a * slope + 0.5 * a * a * curvature):
            return n, trial
    return -1, merit
